"""SAM's mask decoder for one prompt at a time on a CPU, fast enough for clicks.

The library projects every cell of the image (64 x 64 at 1024 px) to queries, keys and values, which
then meet a handful of tokens. Here the tokens' side of each product is multiplied out first. It is
the same sum in another order; for a cell ``x``, a token ``q``, and one head of an attention:

- A token's logit for a cell is ``q . (Wk x + bk) = (Wk' q) . x`` and a term that is the same for
  all cells, which the softmax over the cells cancels.
- What a token takes from the cells is ``sum p (Wv x + bv) = Wv (sum p x) + bv``.
- What a cell takes from the tokens is, over the heads, ``sum p (Wout v)``.

No projection of the cells is ever computed or stored. The upscaling keeps channels last, where a
transposed convolution of kernel 2 and stride 2 is one product of matrices, and nothing is permuted
before the last step. Results differ from the library's by rounding in float32 alone.
"""

from __future__ import annotations

from typing import Any

from curate.networks.runtime.hub import import_optional

MAX_TOKENS = 32
"""Where a prompt and the decoder have more tokens, the library's order takes less time."""

Tensor = Any


class SamDecoder:
    """Decoder of a ``SamModel`` in float32 on the CPU.

    Weights are read from the model at each call, so that it may be trained in between; only the
    encoding of places, which is never trained, is kept.

    Args:
        model: The library's model.
    """

    def __init__(self, model: Any) -> None:
        self._torch = import_optional("torch", "a segmenter")
        self._decoder, self._prompts = model.mask_decoder, model.prompt_encoder
        self._heads = int(model.config.mask_decoder_config.num_attention_heads)
        with self._torch.inference_mode():
            self._places = _to_rows(model.get_image_wide_positional_embeddings())

    def answers(self, prompt: Tensor) -> bool:
        """Return whether a prompt's tokens, shape (n, hidden), are few enough."""
        return len(prompt) + 1 + int(self._decoder.num_mask_tokens) <= MAX_TOKENS

    def decode(
        self, features: Tensor, prompt: Tensor, low: Tensor | None, *, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """Answer one prompt.

        Args:
            features: The image's embedding, shape (1, hidden, side, side).
            prompt: Tokens of the prompt's points and box, shape (n, hidden).
            low: The prompt's mask as logits, shape (1, 1, 4 * side, 4 * side); None without one.
            multimask: Whether three masks are wanted, or one.

        Returns:
            Logits, shape (1, masks, 4 * side, 4 * side), and predicted IoU, shape (1, masks).
        """
        decoder, side = self._decoder, features.shape[2]
        own = self._torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        tokens, cells = self._transform(
            self._torch.cat([own, prompt]), self._cells_of(features, low)
        )
        wanted = slice(1, None) if multimask else slice(0, 1)
        made = list(zip(decoder.output_hypernetworks_mlps, tokens[1:], strict=False))[wanted]
        weights = self._torch.stack([mlp(token) for mlp, token in made])
        iou = decoder.iou_prediction_head(tokens[:1])[:, wanted]
        # A row is a cell (y, x), then the half of each of two steps: (y, x), (y, x).
        masks = (self._upscale(cells) @ weights.T).reshape(side, side, 2, 2, 2, 2, -1)
        return masks.permute(6, 0, 2, 4, 1, 3, 5).reshape(1, -1, 4 * side, 4 * side), iou

    def _cells_of(self, features: Tensor, low: Tensor | None) -> Tensor:
        """Return the image's cells, with the prompt's mask added; shape (cells, hidden)."""
        cells = _to_rows(features)
        if low is None:
            return cells + self._prompts.no_mask_embed.weight
        embed = self._prompts.mask_embed
        x = embed.activation(embed.layer_norm1(embed.conv1(low)))
        x = embed.activation(embed.layer_norm2(embed.conv2(x)))
        own = cells + embed.conv3.bias
        return own.addmm_(_to_rows(x), embed.conv3.weight.flatten(1).T)

    def _transform(self, first: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Run the two-way transformer on tokens (T, hidden) and cells; return both."""
        transformer = self._decoder.transformer
        tokens, placed = first, cells + self._places
        for layer in transformer.layers:
            tokens = self._update_tokens(layer, tokens, first, placed, cells)
            self._give_cells(layer.cross_attn_image_to_token, tokens + first, tokens, placed, cells)
            cells = layer.layer_norm4(cells)
            self._torch.add(cells, self._places, out=placed)
        taken = self._take_cells(
            transformer.final_attn_token_to_image, tokens + first, placed, cells
        )
        return transformer.layer_norm_final_attn(tokens + taken), cells

    def _update_tokens(
        self, layer: Any, tokens: Tensor, first: Tensor, placed: Tensor, cells: Tensor
    ) -> Tensor:
        """Run a layer's steps that change the tokens."""
        if layer.skip_first_layer_pe:
            tokens = _library(layer.self_attn, tokens, tokens)
        else:
            tokens = tokens + _library(layer.self_attn, tokens + first, tokens)
        tokens = layer.layer_norm1(tokens)
        taken = self._take_cells(layer.cross_attn_token_to_image, tokens + first, placed, cells)
        tokens = layer.layer_norm2(tokens + taken)
        return layer.layer_norm3(tokens + layer.mlp(tokens))

    def _take_cells(self, attention: Any, asked: Tensor, placed: Tensor, cells: Tensor) -> Tensor:
        """Return the mixes of cells that tokens (T, hidden) take; shape (T, hidden)."""
        queries = self._split(attention.q_proj, asked) * attention.scaling
        meant = (queries @ self._weight(attention.k_proj)).flatten(0, 1)
        shares = (meant @ placed.T).softmax(-1)
        mixed = (shares @ cells).unflatten(0, (self._heads, -1))
        taken = mixed @ self._weight(attention.v_proj).transpose(1, 2)
        joined = taken.transpose(0, 1).flatten(1) + attention.v_proj.bias
        return attention.out_proj(joined)

    def _give_cells(
        self, attention: Any, keys: Tensor, values: Tensor, placed: Tensor, cells: Tensor
    ) -> None:
        """Add to the cells what they take from tokens, in place."""
        keys = self._split(attention.k_proj, keys) * attention.scaling
        level = keys @ attention.q_proj.bias.reshape(self._heads, -1, 1)
        meant = keys @ self._weight(attention.q_proj)
        logits = self._torch.addmm(level.flatten(0, 1), meant.flatten(0, 1), placed.T)
        shares = logits.unflatten(0, (self._heads, -1)).softmax(1).flatten(0, 1)
        out = attention.out_proj.weight.T.unflatten(0, (self._heads, -1))
        # A head's shares add up to 1: its part of the bias goes with what is shared out.
        given = self._split(attention.v_proj, values) @ out + attention.out_proj.bias / self._heads
        cells.addmm_(shares.T, given.flatten(0, 1))

    def _split(self, projection: Any, tokens: Tensor) -> Tensor:
        """Project tokens; return the heads apart, shape (heads, T, channels)."""
        return projection(tokens).unflatten(1, (self._heads, -1)).transpose(0, 1)

    def _weight(self, projection: Any) -> Tensor:
        """Return a projection's weight, the heads apart: shape (heads, channels, hidden)."""
        return projection.weight.unflatten(0, (self._heads, -1))

    def _upscale(self, cells: Tensor) -> Tensor:
        """Return a row of an eighth of the channels for each pixel of the low-res grid."""
        decoder, torch = self._decoder, self._torch
        norm = decoder.upscale_layer_norm
        x = self._double(decoder.upscale_conv1, cells)
        x = torch.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        x = self._double(decoder.upscale_conv2, torch.ops.aten.gelu_(x))
        return torch.ops.aten.gelu_(x)

    def _double(self, convolution: Any, rows: Tensor) -> Tensor:
        """Turn each row into four, as a transposed convolution of kernel 2 and stride 2 does."""
        kernel = convolution.weight.permute(0, 2, 3, 1).flatten(1)
        made = self._torch.addmm(convolution.bias.repeat(4), rows, kernel)
        return made.reshape(4 * len(rows), -1)


def _library(attention: Any, asked: Tensor, tokens: Tensor) -> Tensor:
    """Run the library's attention among tokens (T, hidden)."""
    query = asked[None, None]
    return attention(query=query, key=query, value=tokens[None, None])[0][0, 0]


def _to_rows(features: Tensor) -> Tensor:
    """Turn features (1, channels, height, width) into rows (height * width, channels).

    They share memory where the features have their channels last: nobody may write into them.
    """
    return features[0].flatten(1).T.contiguous()
