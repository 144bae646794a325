from __future__ import annotations

import pint
import pytest

from napari_clipseg.images.io.units import SYMBOLS, UNKNOWN, in_unit, unit_name, unit_symbol

SPELLINGS = {
    "um": ("micrometer", "µm"),
    "µm": ("micrometer", "µm"),
    "\u03bcm": ("micrometer", "µm"),  # the Greek letter
    "micron": ("micrometer", "µm"),
    "Microns": ("micrometer", "µm"),
    "micrometre": ("micrometer", "µm"),
    "micrometers": ("micrometer", "µm"),
    "nm": ("nanometer", "nm"),
    "mm": ("millimeter", "mm"),
    "Mm": ("megameter", "Mm"),
    "meter": ("meter", "m"),
    "angstrom": ("angstrom", "Å"),
    "inch": ("inch", "in"),
    "pixel": ("pixel", "pixel"),
    "px": ("pixel", "pixel"),
    "cubit": ("cubit", UNKNOWN),
    "": ("", UNKNOWN),
}


@pytest.mark.parametrize(("given", "wanted"), SPELLINGS.items())
def test_spellings_of_units(given, wanted):
    assert (unit_name(given), unit_symbol(given)) == wanted


@pytest.mark.parametrize("name", SYMBOLS)
def test_names_of_units_are_those_of_pint_which_napari_uses(name):
    assert str(pint.UnitRegistry().Unit(name)) in (name, name.replace("deca", "deka"))


@pytest.mark.parametrize(
    ("length", "unit", "wanted", "found"),
    [
        (2000, "nm", "um", 2),
        (2, "micron", "nanometer", 2000),
        (5, "Å", "nm", 0.5),
        (0.5, "mm", "µm", 500),
        (3, "meter", "kilometer", 0.003),
        (7, "pixel", "px", 7),
        (7, "cubit", "cubit", 7),
        (7, "pixel", "um", None),
        (7, "um", "inch", None),
    ],
)
def test_a_length_in_another_unit(length, unit, wanted, found):
    assert in_unit(length, unit, wanted) == (None if found is None else pytest.approx(found))
