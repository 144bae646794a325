"""One image in every form that scientists have it in, with the map that each is to give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LENGTHS = {"t": 2, "c": 3, "z": 5, "y": 8, "x": 18, "s": 3, "p": 2, "a": 4}
SIDE = 12  # of the model's square: it has as many pixels as a plane, which is then not resized
WHITE = 100  # of the values, which any type can hold
MASTER = np.random.default_rng(0).integers(0, WHITE + 1, (2, 3, 5, 8, 18))  # tczyx
LONG_NAMES = {"t": "Time", "c": "channel", "z": "depth", "y": "row", "x": "col"}


def image(axes, dtype):
    """Return the part of the master that has these axes, in their order.

    ``s`` are the channels as colours, ``a`` is these and transparency; ``p`` are times, too.
    """
    names, whole = list("tczyx"), MASTER
    if "a" in axes:
        whole = np.concatenate([whole, whole[:, :1]], axis=1)
    renamed = {"c": "a" if "a" in axes else "s" if "s" in axes else "c"}
    names = [renamed.get(name, name) for name in names]
    names[0] = "p" if "p" in axes else "t"
    whole = whole[tuple(slice(None) if name in axes else 0 for name in names)]
    names = [name for name in names if name in axes]
    values = whole.transpose([names.index(name) for name in axes])
    return values > WHITE / 2 if dtype == "bool" else values.astype(dtype)


def shades(plane_axes, axes, dtype):
    """Return what the model is to see, ``(3, *planes, height, width)``, 0 to 255."""
    colours = next((name for name in "csa" if name in axes), None)
    order = f"{colours or ''}{plane_axes}yx"
    values = image(order, dtype).astype(float)[: 3 if colours else None]
    white = 1 if dtype == "bool" else WHITE
    seen = np.rint(values / white * 255)
    return seen if colours else np.stack([seen] * 3)


@dataclass
class Kind:
    """A way to hold an image: what `segment` is given, and with which options."""

    make: object
    named: bool = False  # whether the image knows the names of its axes

    def __call__(self, array, axes, folder):
        names = "".join("s" if name == "a" else name for name in axes)
        given = self.make(array, names, folder)
        return given, {} if self.named else {"axes": names}


def coarser(array, axes):
    """Return every second row and column."""
    step = {"y": slice(None, None, 2), "x": slice(None, None, 2)}
    return array[tuple(step.get(name, slice(None)) for name in axes)]


def dask_array(array):
    import dask.array

    return dask.array.from_array(array, chunks=tuple(max(1, n // 2) for n in array.shape))


def zarr_array(array, version=3):
    import zarr

    return zarr.array(array, chunks=tuple(max(1, n // 2) for n in array.shape), zarr_format=version)


def memory_map(array, folder, order="C"):
    path = folder / "image.npy"
    mapped = np.lib.format.open_memmap(
        path, mode="w+", dtype=array.dtype, shape=array.shape, fortran_order=order == "F"
    )
    mapped[...] = array
    mapped.flush()
    return np.load(path, mmap_mode="r")


def xarray_array(array, axes, names=None):
    import xarray

    return xarray.DataArray(array, dims=[(names or {}).get(name, name) for name in axes])


def xarray_in_file(array, axes, folder):
    import xarray

    path = folder / "image.zarr"
    xarray_array(array, axes).to_dataset(name="image").to_zarr(path, consolidated=False)
    return xarray.open_dataset(path, engine="zarr", chunks=None, consolidated=False)["image"]


def ome_zarr(array, axes, version):
    """Return a group of two levels, written without the package's own code."""
    import zarr

    group = zarr.open_group(zarr.storage.MemoryStore(), zarr_format=2 if version == "0.4" else 3)
    datasets = []
    for i, level in enumerate((array, coarser(array, axes))):
        group.create_array(f"s{i}", data=np.ascontiguousarray(level))
        scale = [0.5 * 2**i if name in "yx" else 1.0 for name in axes]
        transformations = [{"type": "scale", "scale": scale}]
        datasets.append({"path": f"s{i}", "coordinateTransformations": transformations})
    kinds = {"t": "time", "c": "channel"}
    described = [{"name": name, "type": kinds.get(name, "space")} for name in axes]
    for one in described:
        if one["name"] in "yx":
            one["unit"] = "micrometer"
    multiscales = [{"version": version, "axes": described, "datasets": datasets}]
    plain = {"multiscales": multiscales}
    group.attrs.update(plain if version == "0.4" else {"ome": {"version": version, **plain}})
    return group


def layer(array, axes, *, levels=None, labels=True):
    from napari.layers import Image

    rgb = "s" in axes
    return Image(
        array if levels is None else levels,
        multiscale=levels is not None,
        rgb=rgb,
        axis_labels=list(axes.replace("s", "")) if labels else None,
        scale=[0.5] * len(axes.replace("s", "")),
        units="um",
        contrast_limits=None if rgb else (0, 1 if array.dtype == bool else WHITE),
    )


def pyramid(kind):
    return lambda a, axes, _: [kind(a), kind(np.ascontiguousarray(coarser(a, axes)))]


KINDS = {
    "numpy": Kind(lambda a, *_: a),
    "numpy unnamed": Kind(lambda a, *_: a, named=True),
    "numpy read-only": Kind(lambda a, *_: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape)),
    "numpy strided": Kind(lambda a, *_: np.repeat(a, 2, axis=-1)[..., ::2]),
    "numpy backwards": Kind(lambda a, *_: a[::-1, ::-1].copy()[::-1, ::-1]),
    "numpy Fortran": Kind(lambda a, *_: np.asfortranarray(a)),
    "numpy big-endian": Kind(lambda a, *_: a.astype(a.dtype.newbyteorder(">"))),
    "list": Kind(lambda a, *_: a.tolist()),
    "memory map": Kind(lambda a, _, folder: memory_map(a, folder)),
    "memory map Fortran": Kind(lambda a, _, folder: memory_map(a, folder, "F")),
    "dask": Kind(lambda a, *_: dask_array(a)),
    "dask unnamed": Kind(lambda a, *_: dask_array(a), named=True),
    "zarr": Kind(lambda a, *_: zarr_array(a)),
    "zarr of version 2": Kind(lambda a, *_: zarr_array(a, 2)),
    "xarray": Kind(lambda a, axes, _: xarray_array(a, axes), named=True),
    "xarray long names": Kind(lambda a, axes, _: xarray_array(a, axes, LONG_NAMES), named=True),
    "xarray unnamed": Kind(lambda a, *_: __import__("xarray").DataArray(a), named=True),
    "xarray of dask": Kind(lambda a, axes, _: xarray_array(dask_array(a), axes), named=True),
    "xarray in a file": Kind(xarray_in_file, named=True),
    "levels": Kind(pyramid(lambda a: a)),
    "levels of dask": Kind(pyramid(dask_array)),
    "levels of zarr": Kind(pyramid(zarr_array)),
    "OME-Zarr 0.4": Kind(lambda a, axes, _: ome_zarr(a, axes, "0.4"), named=True),
    "OME-Zarr 0.5": Kind(lambda a, axes, _: ome_zarr(a, axes, "0.5"), named=True),
    "layer": Kind(lambda a, axes, _: layer(a, axes), named=True),
    "layer without labels": Kind(lambda a, axes, _: layer(a, axes, labels=False), named=True),
    "layer of dask": Kind(lambda a, axes, _: layer(dask_array(a), axes), named=True),
    "layer of levels": Kind(
        lambda a, axes, _: layer(a, axes, levels=[a, coarser(a, axes)]), named=True
    ),
}

# Kind, axes, type of the image, axes of planes, shape of the labels, type of the map.
# In the axes, ``s`` stands for RGB, ``a`` for RGBA, ``p`` for an axis of another name.
TABLE = """
numpy                 yx     bool     -   8,18      float32
numpy                 yx     uint8    -   8,18      float32
numpy                 yx     int8     -   8,18      float32
numpy                 yx     uint16   -   8,18      float16
numpy                 yx     int16    -   8,18      float32
numpy                 yx     uint32   -   8,18      float32
numpy                 yx     int32    -   8,18      uint8
numpy                 yx     uint64   -   8,18      float32
numpy                 yx     int64    -   8,18      float32
numpy                 yx     float16  -   8,18      float32
numpy                 yx     float32  -   8,18      float32
numpy                 yx     float64  -   8,18      float32
numpy                 xy     uint8    -   8,18      float32
numpy                 zyx    uint16   z   5,8,18    float32
numpy                 yxz    uint16   z   5,8,18    float32
numpy                 tzyx   uint8    tz  2,5,8,18  uint8
numpy                 ztyx   uint8    zt  5,2,8,18  float32
numpy                 czyx   float32  z   5,8,18    float32
numpy                 tczyx  uint16   tz  2,5,8,18  float32
numpy                 xyzct  int32    zt  5,2,8,18  float16
numpy                 cyx    uint8    -   8,18      float32
numpy                 yxc    uint8    -   8,18      float32
numpy                 yxs    uint8    -   8,18      float32
numpy                 yxs    bool     -   8,18      float32
numpy                 yxa    uint8    -   8,18      float32
numpy                 syx    uint16   -   8,18      float32
numpy                 tzyxs  float32  tz  2,5,8,18  float32
numpy                 pyx    uint8    p   2,8,18    float32
numpy                 pczyx  float64  pz  2,5,8,18  uint8
numpy unnamed         yx     int64    -   8,18      float32
numpy unnamed         zyx    uint8    z   5,8,18    float32
numpy unnamed         tzyx   uint16   tz  2,5,8,18  float32
numpy unnamed         tczyx  float32  tz  2,5,8,18  float32
numpy unnamed         yxs    uint8    -   8,18      float32
numpy unnamed         zyxa   uint8    z   5,8,18    float32
numpy read-only       yxs    uint8    -   8,18      float32
numpy read-only       yx     uint8    -   8,18      float32
numpy strided         tyx    uint16   t   2,8,18    float32
numpy backwards       yxs    uint8    -   8,18      float32
numpy Fortran         tczyx  uint8    tz  2,5,8,18  float32
numpy big-endian      zyx    uint16   z   5,8,18    float32
numpy big-endian      yx     int32    -   8,18      float32
numpy big-endian      yx     float16  -   8,18      float32
numpy big-endian      yxc    float64  -   8,18      float32
list                  yx     int64    -   8,18      float32
list                  zyx    float64  z   5,8,18    float32
memory map            yx     float16  -   8,18      float32
memory map            tczyx  uint16   tz  2,5,8,18  uint8
memory map Fortran    zyx    uint8    z   5,8,18    float32
dask                  yx     bool     -   8,18      float32
dask                  xy     int16    -   8,18      float32
dask                  zyx    uint64   z   5,8,18    float32
dask                  tczyx  uint16   tz  2,5,8,18  float32
dask                  yxs    uint8    -   8,18      float32
dask unnamed          tzyx   float32  tz  2,5,8,18  float16
zarr                  yx     uint8    -   8,18      float32
zarr                  xy     int8     -   8,18      float32
zarr                  czyx   float64  z   5,8,18    float32
zarr                  yxa    uint8    -   8,18      float32
zarr of version 2     tzyx   uint16   tz  2,5,8,18  float32
xarray                yx     float32  -   8,18      float32
xarray                tczyx  uint16   tz  2,5,8,18  float32
xarray                xyc    uint32   -   8,18      float32
xarray long names     tcyx   uint8    t   2,8,18    float32
xarray long names     pzxy   int16    pz  2,5,8,18  float32
xarray unnamed        zyx    uint8    z   5,8,18    float32
xarray of dask        zcyx   float32  z   5,8,18    float32
xarray in a file      tzyx   int16    tz  2,5,8,18  float32
levels                yx     uint8    -   8,18      float32
levels                zyx    float32  z   5,8,18    float32
levels                yxs    uint8    -   8,18      float32
levels of dask        tczyx  uint16   tz  2,5,8,18  float32
levels of zarr        xy     int32    -   8,18      float32
OME-Zarr 0.4          yx     uint8    -   8,18      float32
OME-Zarr 0.4          tczyx  uint16   tz  2,5,8,18  float32
OME-Zarr 0.5          zyx    float32  z   5,8,18    float32
OME-Zarr 0.5          tcyx   int16    t   2,8,18    uint8
layer                 yx     uint16   -   8,18      float32
layer                 zyx    float32  z   5,8,18    float32
layer                 tczyx  uint8    tz  2,5,8,18  float32
layer                 xy     uint8    -   8,18      float32
layer                 yxs    uint8    -   8,18      float32
layer                 tyxs   uint8    t   2,8,18    float32
layer without labels  yx     bool     -   8,18      float32
layer without labels  tzyx   uint16   tz  2,5,8,18  float32
layer without labels  zyxs   uint8    z   5,8,18    float32
layer of dask         zyx    int16    z   5,8,18    float32
layer of levels       yx     uint16   -   8,18      float32
layer of levels       tzyx   uint8    tz  2,5,8,18  float32
layer of levels       yxs    uint8    -   8,18      float32
"""


def table():
    """Yield name, kind, axes, type, axes of planes, shape and type of the map of each row."""
    for row in TABLE.strip().splitlines():
        kind, (axes, dtype, planes, shape, map_type) = row[:22].strip(), row[22:].split()
        shape = tuple(map(int, shape.split(",")))
        name = f"{kind} {axes} {dtype}"
        yield name, KINDS[kind], axes, dtype, planes.strip("-"), shape, map_type
