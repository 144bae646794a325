"""Our classes against the table of what is documented, and the table in the docs against both."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

import pytest
import transformers.models.clipseg.modeling_clipseg as reference

from documented import FIELDS, METHODS, NOT_IN_THE_TEXT, PARAMETERS, REFUSED, REQUIRED
from napari_clipseg import engine
from napari_clipseg.engine.modeling import outputs

ROOT = Path(__file__).parents[2]
PAGES = ROOT.parent / "shared" / "seeds"
HERE = Path(__file__).name
NO_DEFAULT = inspect.Parameter.empty


def parameters_of(text):
    """Return the parameters that a text such as "a, b=1, **kwargs" names, with their defaults."""
    found = inspect.signature(eval(f"lambda {text}: None")).parameters
    return list(found.values())


def find(name):
    """Return what a name of the table is here, and its parameters."""
    thing = attrgetter(name)(engine)
    found = inspect.signature(thing).parameters
    return thing, {key: value for key, value in found.items() if key != "self"}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_have_the_documented_names_order_and_defaults(name):
    ours = find(name)[1]
    wanted = parameters_of(PARAMETERS[name])
    for i, parameter in enumerate(wanted):
        if (name, parameter.name) in REFUSED:
            assert parameter.name not in ours
            continue
        found = ours[parameter.name]
        assert found.kind == parameter.kind
        if found.kind is not inspect.Parameter.VAR_KEYWORD:
            assert list(ours)[i] == parameter.name
        if (name, parameter.name) in REQUIRED:
            assert (found.default, parameter.default) == (NO_DEFAULT, None)
        elif isinstance(parameter.default, list):
            assert list(found.default) == parameter.default
        else:
            assert found.default == parameter.default
            assert type(found.default) is type(parameter.default)
    # What is ours alone cannot be given by position, so that no documented call means another.
    for parameter in [x for key, x in ours.items() if key not in {x.name for x in wanted}]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", METHODS)
def test_documented_methods_are_here(name):
    assert callable(attrgetter(name)(engine))


@pytest.mark.parametrize("name", FIELDS)
def test_outputs_have_the_documented_fields_in_order(name):
    documented = FIELDS[name].split(", ")
    assert [one.name for one in fields(getattr(outputs, name))] == documented
    theirs = [one.name for one in fields(getattr(reference, name))]
    assert [one for one in theirs if one in documented] == documented


def signatures_in(text):
    """Return the signatures of a page, without spaces, types and the backslashes of Markdown."""
    found = re.findall(r"(?m)^\( (.*?) \)", text.replace("\\", ""))
    bare = [re.sub(r": ?(typing\.Optional\[[\w.]+\]|CLIPSeg\w+)", "", one) for one in found]
    return [one.replace(" ", "") for one in bare]


@pytest.mark.skipif(not PAGES.is_dir(), reason="the documents are not beside the repository")
def test_the_table_is_what_the_documents_say():
    pages = [path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.txt"))]
    found = [one for page in pages for one in signatures_in(page)]
    written = {name: squeezed(text) for name, text in PARAMETERS.items()}
    for name, text in written.items():
        assert text in found or name in NOT_IN_THE_TEXT, name
    # Nothing that the documents name is left out; of this one the type ran into its second name.
    assert set(found) <= {*written.values(), "text_config**kwargs"}


def squeezed(text):
    """Return parameters as the page has them, without spaces and the commas between them."""
    parts = [
        str(x) if x.default is NO_DEFAULT else f"{x.name}={x.default!r}"
        for x in parameters_of(text)
    ]
    return "".join(parts).replace(" ", "")


def rows_of_the_docs():
    """Return the cells of each row of the table in docs/engine.md, without backticks."""
    text = (ROOT / "docs" / "engine.md").read_text(encoding="utf-8")
    table = text.partition("| documented | here | shown by |\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[1:]]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_docs_have_a_row_for_each_documented_name():
    wanted = {
        f"{name}({', '.join(str(x).partition('=')[0] for x in parameters_of(text))})"
        for name, text in PARAMETERS.items()
    }
    wanted |= {f"{name}: {text}" for name, text in FIELDS.items()}
    methods = {f"{name}" for name in METHODS}
    rows = rows_of_the_docs()
    assert wanted <= rows.keys()
    assert methods <= {name for row in rows for name in re.findall(r"[\w.]+", row)}
    assert all(len(cells) == 2 for cells in rows.values())


def test_the_tests_that_the_docs_name_exist():
    named = {x for row in rows_of_the_docs().values() for x in re.findall(r"`(test_\w+)`", row[1])}
    found = {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    found |= {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert named
    assert named <= found
    assert all(re.search(r"`test_\w+`", row[1]) for row in rows_of_the_docs().values())
