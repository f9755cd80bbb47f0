"""Loading of image encoders by name: folders of transformers, hub names, ONNX files."""

from __future__ import annotations

from pathlib import Path

from curate.errors import CallError, SourceError
from curate.networks.encoders.encoder import HANDCRAFTED
from curate.networks.encoders.grid_encoders import GridEncoder, SegmenterEncoder, TileEncoder
from curate.networks.encoders.onnx_encoder import load_onnx_encoder
from curate.networks.encoders.pooling import WindowNetwork
from curate.networks.encoders.transformers_encoder import load_transformers_encoder
from curate.networks.runtime.devices import Device, choose_device
from curate.networks.runtime.hub import model_folder, read_config
from curate.networks.segmenters.embedding_cache import EmbeddingCache
from curate.networks.segmenters.segmenter_loading import holds_onnx, load_segmenter
from curate.networks.segmenters.transformers_sam import KINDS


def load_window_network(name: str, *, device: str | None = None) -> WindowNetwork:
    """Load an image encoder that takes pictures of one size.

    Args:
        name: An ONNX file or a folder with one, a folder that transformers' ``save_pretrained`` has
            written, or a hub name ("facebook/dinov2-small").
        device: "cpu", "cuda:0"; the first GPU, else the CPU, if None.

    Raises:
        CurateError: A package is missing, there is no such model or device, the files hold code or
            pickled weights, or are not those of an image encoder.
    """
    path = Path(name).expanduser()
    exports = sorted(path.glob("*.onnx")) if holds_onnx(path) else []
    if len(exports) > 1:
        do = "give the path of one of them"
        raise SourceError(f"it holds {len(exports)} ONNX files", str(path), do)
    if exports or path.suffix == ".onnx":
        return load_onnx_encoder(exports[0] if exports else path, name, device)
    if path.is_file():
        do = "give a folder that save_pretrained has written, or an ONNX file"
        raise SourceError("it is a file, and no ONNX file", str(path), do)
    place = Device(choose_device(device).name, "float32")
    return load_transformers_encoder(model_folder(name, "an encoder"), name, place)


def load_grid_encoder(name: str, *, device: str | None = None) -> GridEncoder:
    """Load an image encoder that gives a grid of features for a picture; grids are kept on disk.

    Args:
        name: As of :func:`load_window_network`; or a segmenter, as of
            :func:`curate.networks.segmenters.segmenter_loading.load_segmenter`.
        device: "cpu", "cuda:0"; the first GPU, else the CPU, if None.

    Raises:
        CallError: It is "handcrafted", which is no network.
        SourceError: It gives no grid.
        CurateError: As of :func:`load_window_network`.
    """
    if name == HANDCRAFTED:
        what = "handcrafted features are of whole masks, and a verifier needs those of places"
        do = "give an image encoder of transformers or an ONNX file, or leave --encoder out"
        raise CallError(what, "--encoder", do)
    path = Path(name).expanduser()
    pair = holds_onnx(path) and len(list(path.glob("*.onnx"))) > 1
    if pair or (path.suffix != ".onnx" and not path.is_file() and not holds_onnx(path)):
        folder = None if pair else model_folder(name, "an encoder")
        if folder is None or read_config(folder).get("model_type") in KINDS:
            return SegmenterEncoder.of(load_segmenter(name, device=device), EmbeddingCache())
    return TileEncoder.of(load_window_network(name, device=device), EmbeddingCache())
