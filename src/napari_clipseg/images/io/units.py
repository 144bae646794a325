"""Names of units of length, as OME-Zarr and OME-XML spell them."""

from __future__ import annotations

# As OME-XML has them, by the names of OME-Zarr.
PREFIXES = {
    "yotta": "Y",
    "zetta": "Z",
    "exa": "E",
    "peta": "P",
    "tera": "T",
    "giga": "G",
    "mega": "M",
    "kilo": "k",
    "hecto": "h",
    "deca": "da",
    "": "",
    "deci": "d",
    "centi": "c",
    "milli": "m",
    "micro": "µ",
    "nano": "n",
    "pico": "p",
    "femto": "f",
    "atto": "a",
    "zepto": "z",
    "yocto": "y",
}
POWERS = (24, 21, 18, 15, 12, 9, 6, 3, 2, 1, 0, -1, -2, -3, -6, -9, -12, -15, -18, -21, -24)
# Powers of ten of a meter.
METERS = {f"{name}meter": power for name, power in zip(PREFIXES, POWERS, strict=True)}
METERS["angstrom"] = -10
SYMBOLS = {f"{prefix}meter": f"{symbol}m" for prefix, symbol in PREFIXES.items()} | {
    "angstrom": "Å",
    "inch": "in",
    "foot": "ft",
    "yard": "yd",
    "mile": "mi",
    "parsec": "pc",
    "pixel": "pixel",
}
# The micro sign and the Greek letter look the same.
SYNONYMS = {"um": "micrometer", "\u03bcm": "micrometer", "micron": "micrometer", "px": "pixel"}
UNKNOWN = "reference frame"  # OME-XML's word for any other unit


def unit_name(unit: str) -> str:
    """Return the name of a unit in OME-Zarr, such as "micrometer"; an unknown one as it is."""
    short = {symbol: name for name, symbol in SYMBOLS.items()} | SYNONYMS
    if unit in short:
        return short[unit]
    lower = unit.lower().replace("metre", "meter")
    for name in (lower, lower.removesuffix("s")):
        name = SYNONYMS.get(name, name)
        if name in SYMBOLS:
            return name
    return unit


def in_unit(length: float, unit: str, wanted: str) -> float | None:
    """Return a length in another unit, or None if it is not known how long the two are.

    Examples
    --------
    >>> in_unit(500, "nm", "micrometer"), in_unit(2, "voxel", "voxel"), in_unit(2, "voxel", "um")
    (0.5, 2, None)
    """
    given, other = unit_name(unit), unit_name(wanted)
    if given == other:
        return length
    if given not in METERS or other not in METERS:
        return None
    power = METERS[given] - METERS[other]
    return length * 10.0**power if power > 0 else length / 10.0**-power


def unit_symbol(unit: str) -> str:
    """Return the symbol of a unit in OME-XML, such as "µm"; "reference frame" for others."""
    return SYMBOLS.get(unit_name(unit), UNKNOWN)
