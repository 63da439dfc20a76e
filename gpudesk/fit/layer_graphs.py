"""The compute graph of a model as far as memory goes: which tensors its layers make, in their order.

One graph has a layer of each kind the model has, and the last layer, which goes on with the tokens whose result is
wanted. The order and the sizes are those of llama.cpp at b10488: src/llama-graph.cpp (`build_inp_embd`, `build_ffn`,
`build_moe_ffn`), src/models/{llama,qwen3moe,qwen35,gemma4,openai-moe,bert}.cpp; mixers are in `mixer_graphs`.
"""

from __future__ import annotations

from gpudesk.fit.graph_memory import Graph, view
from gpudesk.fit.graph_widths import GraphWidths, LayerWidths, Mixer
from gpudesk.fit.mixer_graphs import F32, Sketch, mix

ATTENDING = frozenset([Mixer.ATTENTION, Mixer.LATENT, Mixer.SPREAD, Mixer.BESIDE])


class _Builder(Sketch):
    """Adds the layers of one graph."""

    def __init__(self, widths: GraphWidths) -> None:
        super().__init__(widths)
        self.per_layer = -1
        self.embedded = -1
        """The scaled embedding, until the per-layer input is projected from it."""

    def build(self) -> Graph:
        widths = self.widths
        graph = self.graph
        hidden = self.node(widths.embedding)
        if widths.per_layer_total and not widths.mixed_input:
            self.per_layer = self.node(widths.per_layer_total)
        if widths.mixed_input:
            tokens, embeddings = self.node(widths.embedding), self.node(widths.embedding)
        self._inputs()
        if widths.per_layer_total and widths.mixed_input:
            # These builds scale it where it is used, at the end of the first layer, so it is fetched last.
            self.per_layer = self.node(widths.per_layer_total)
        if widths.mixed_input:
            # What the other branch of the input writes is never read, and so never freed.
            graph.keep(self.node(widths.embedding, embeddings))
            graph.reads(tokens)
        if widths.per_layer_total and not widths.mixed_input:
            self.per_layer = self.node(widths.per_layer_total, self.per_layer, inplace=True)
        if widths.scaled_input:
            hidden = self.node(widths.embedding, hidden, inplace=True)
        if widths.per_layer_total:
            self.embedded = hidden
        last = len(widths.layers) - 1
        for number, layer in enumerate(widths.layers):
            self.following = widths.layers[number + 1] if number < last else None
            hidden = self._layer(layer, hidden, last=number == last and not widths.all_tokens and not widths.encoder)
        result = self.norm(hidden, widths.embedding)
        if widths.all_tokens:
            self.tokens = widths.outputs
            result = self.node(widths.embedding, result)
        graph.keep(result)
        if widths.vocabulary:
            graph.keep(self.node(widths.vocabulary, result))
        return graph

    def _inputs(self) -> None:
        """Positions, cells to write and masks come as copies from the host when the first layer starts."""
        graph, tokens = self.graph, self.tokens
        self.positions = graph.node(4 * self.widths.positions * tokens)
        for layer in self.widths.layers:
            if layer.mixer not in ATTENDING or layer.sliding in self.masks:
                continue
            if not self.widths.encoder:
                # Without flash attention values are stored transposed: one index for every element.
                each = 1 if self.widths.flash_attention or layer.mixer is Mixer.LATENT else self.widths.widest_value
                self.indices[layer.sliding] = (graph.node(8 * tokens), graph.node(8 * tokens * each))
            for spread, elements in ((layer.keys_spread, layer.query), (layer.values_spread, layer.attended)):
                if spread and layer.heads:
                    # The matrix: as wide as the largest power of two that divides a head.
                    width = elements // layer.heads
                    graph.node(4 * (width & -width) ** 2)
            size = mask_bytes(tokens, layer.cells, flash_attention=self.widths.flash_attention)
            self.masks[layer.sliding] = graph.node(size)

    def _layer(self, layer: LayerWidths, hidden: int, *, last: bool) -> int:
        embedding = self.widths.embedding
        mixed = mix(self, layer, hidden)
        if last:
            self.tokens = self.widths.outputs
            if mixed is not None:
                mixed = self.node(embedding, mixed)
            if self.per_layer >= 0:
                self.per_layer = self.node(self.widths.per_layer_total, view(self.per_layer))
            hidden = self.node(embedding, hidden)
        elif mixed is not None and layer.mixer is Mixer.DELTA_NET:
            mixed = view(mixed)
        if mixed is not None:
            if layer.post_norms:
                mixed = self.norm(mixed, embedding)
            hidden = self._add(mixed, hidden)
        fed = self._feed(layer, hidden)
        if fed is not None:
            hidden = self._add(fed, hidden)
        if layer.per_layer:
            hidden = self._per_layer(layer, hidden)
        return hidden

    def _add(self, made: int, hidden: int) -> int:
        """Add what a part of a layer made to what goes through."""
        first, second = (hidden, made) if self.widths.residual_first else (made, hidden)
        return self.node(self.widths.embedding, first, second, inplace=True)

    def _feed(self, layer: LayerWidths, hidden: int) -> int | None:
        embedding = self.widths.embedding
        if not layer.experts_used and not layer.feed_forward:
            return None
        if layer.feed_forward_beside:
            router = self.norm(hidden, embedding)
            mixed = self._experts(layer, self.norm(hidden, embedding), router)
            dense = self._dense(layer, self.norm(hidden, embedding), layer.feed_forward)
            dense = self.norm(dense, embedding)
            mixed = self.norm(mixed, embedding)
            fed = self.node(embedding, dense, mixed, inplace=True)
        else:
            normed = hidden if self.widths.encoder else self.norm(hidden, embedding)
            if layer.experts_used:
                fed = self._experts(layer, normed)
                if layer.shared_width:
                    shared = self._dense(layer, normed, layer.shared_width)
                    fed = self.node(embedding, fed, shared, inplace=True)
            else:
                fed = self._dense(layer, normed, layer.feed_forward)
        return self.norm(fed, embedding) if layer.post_norms else fed

    def _dense(self, layer: LayerWidths, normed: int, width: int) -> int:
        if layer.plain:
            up = self.node(width, normed)
            active = self.node(width, up, inplace=True)
        elif layer.fused:
            active = self.node(width, self.node(2 * width, normed))
        else:
            gate = self.node(width, normed)
            up = self.node(width, normed)
            active = self.node(width, gate, up)
        return self.node(self.widths.embedding, active)

    def _experts(self, layer: LayerWidths, normed: int, router: int | None = None) -> int:
        embedding, used = self.widths.embedding, layer.experts_used
        scores = self.node(layer.experts, normed if router is None else router)
        scores = self.node(layer.experts, scores, inplace=True)
        order = self.node(layer.experts, scores)
        chosen = self.node(used, view(scores), view(order))
        chosen = self.node(used, view(chosen))
        if layer.experts_fused:
            both = self.node(2 * used * layer.expert_width, normed, order)
            active = self.node(used * layer.expert_width, both)
        else:
            gate = self.node(used * layer.expert_width, normed, order)
            up = self.node(used * layer.expert_width, normed, order)
            active = self.node(used * layer.expert_width, gate, up)
        down = self.node(used * embedding, active, order)
        weighted = self.node(used * embedding, down, chosen, inplace=True)
        # Each expert's part is added from a view, so all of them stay until the last.
        total = self.node(embedding, view(weighted), view(weighted))
        if used > 2:
            total = self.node(embedding, total, view(weighted), inplace=True)
        return total

    def _per_layer(self, layer: LayerWidths, hidden: int) -> int:
        """Add what the per-layer embedding says (gemma's E models); the first layer projects it for all."""
        gate = self.node(layer.per_layer, hidden)
        gate = self.node(layer.per_layer, gate, inplace=True)
        if self.embedded >= 0:
            total = self.widths.per_layer_total
            projected = self.node(total, self.embedded)
            projected = self.node(total, projected, inplace=True)
            projected = self.norm(view(projected), total)
            if self.widths.mixed_input:
                self.per_layer = self.node(total, self.per_layer, inplace=True)
            projected = self.node(total, projected, self.per_layer, inplace=True)
            projected = self.node(total, projected, inplace=True)
            self.per_layer = self.node(total, view(projected))
            self.embedded = -1
        gate = self.node(layer.per_layer, gate, view(self.per_layer), inplace=True)
        added = self.node(self.widths.embedding, gate)
        added = self.norm(added, self.widths.embedding)
        return self.node(self.widths.embedding, hidden, added, inplace=True)


def laid_out(widths: GraphWidths) -> tuple[Graph, dict[bool, int]]:
    """Return the graph of a model, and its masks: of full layers and, by True, of sliding ones."""
    builder = _Builder(widths)
    return builder.build(), builder.masks


def mask_bytes(tokens: int, cells: int, *, flash_attention: bool) -> int:
    """Return the size of a mask: for each token of the batch and each cell of the cache."""
    return (2 if flash_attention else F32) * tokens * cells
