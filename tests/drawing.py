"""What drawn tests share: how many cases they draw, and strategies of faults."""

from __future__ import annotations

import copy

import hypothesis
from hypothesis import strategies as st

USUAL = 100  # cases of a test that does not say how many


def examples(count):
    """Draw so many cases, and as many times more as the profile draws more than is usual."""
    return hypothesis.settings(
        max_examples=max(1, count * hypothesis.settings.default.max_examples // USUAL)
    )


def refusal(call, *errors):
    """Return what a call returns and None; or None and what it says if it raises one of these."""
    try:
        return call(), None
    except errors as error:
        return None, str(error)


def json_values(**options):
    """Draw any value of JSON; NaN and infinities among the numbers, as Python reads them."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(**options)
        | st.sampled_from([0, -1, 1e300, -1e300, 2**31, 2**63, 10**30, 1e-300])
        | st.floats()
        | st.text(max_size=5)
    )
    return st.recursive(
        scalars,
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=5,
    )


@st.composite
def changed(draw, value, replaced=None):
    """Draw a JSON value in which one place, anywhere, is another value, or gone.

    Parameters
    ----------
    value : dict or list
        It stays as it is.
    replaced : strategy, optional
        What comes there; any value of JSON by default.
    """
    value = copy.deepcopy(value)
    places = list(_places(value))
    holder, key = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(["replace", "replace", "delete", "swap"]))
    if kind == "delete":
        del holder[key]
    elif kind == "swap":
        other, its_key = draw(st.sampled_from(places))
        taken = copy.deepcopy(other[its_key])
        holder[key] = taken
    else:
        holder[key] = draw(json_values() if replaced is None else replaced)
    return value


def damages(size, head=4096):
    """Draw what `damaged` does to that many bytes; most often to the first ones."""
    ends = sorted({min(16, size), min(head, size), size})
    places = st.sampled_from(ends).flatmap(lambda end: st.integers(0, max(0, end - 1)))
    kinds = (
        st.tuples(st.just("change"), st.integers(0, 255))
        | st.tuples(st.just("flip"), st.sampled_from([1 << bit for bit in range(8)]))
        | st.tuples(st.just("cut"), st.integers(1, size + 1))
        | st.tuples(st.just("double"), st.integers(1, 64))
        | st.tuples(st.just("insert"), st.binary(min_size=1, max_size=9))
    )
    return st.lists(st.tuples(places, kinds), min_size=1, max_size=4)


def damaged(content, damage):
    """Return bytes of which some are others, missing, or there twice."""
    content = bytearray(content)
    for at, (kind, what) in damage:
        part = slice(at, at + 1)
        if kind == "change":
            content[part] = bytes([what])
        elif kind == "flip":
            content[part] = bytes([byte ^ what for byte in content[part]])
        elif kind == "cut":
            del content[at : at + what]
        elif kind == "double":
            content[at:at] = content[at : at + what]
        else:
            content[at:at] = what
    return bytes(content)


def _places(value):
    """Yield the container and the key of each value within a value."""
    keys = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])
