"""The compute graph of a model as far as memory goes: which tensors each kind of layer makes, in their order.

One graph has a layer of each kind the model has, and the last layer, which goes on with the tokens whose result is
wanted. The order and the sizes are those of llama.cpp at b10488: src/llama-graph.cpp (`build_attn`, `build_ffn`,
`build_moe_ffn`), src/models/{llama,qwen3moe,qwen35,gemma4,openai-moe,deepseek2,mamba-base,bert}.cpp.
"""

from __future__ import annotations

from enum import StrEnum

from gpudesk.fit.graph_memory import Graph, view
from gpudesk.records import dataclass

F32 = 4


class Mixer(StrEnum):
    """What a layer does besides its feed-forward."""

    ATTENTION = "attention"
    LATENT = "latent"
    DELTA_NET = "delta net"
    MAMBA = "mamba"
    CONVOLUTION = "convolution"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class LayerWidths:
    """Elements per token of what one layer makes."""

    mixer: Mixer = Mixer.ATTENTION
    heads: int = 0
    query: int = 0
    """Of all heads."""
    key: int = 0
    value: int = 0
    attended: int = 0
    """What attention puts out."""
    head_norms: bool = False
    """Queries and keys are normed head by head."""
    value_norm: bool = False
    gated: bool = False
    """The query projection also makes a gate of the same size."""
    cells: int = 0
    sliding: bool = False
    copied: int = 0
    """Bytes of the f16 copy of keys and values that the attention kernel needs of a quantized cache."""
    latent_query: int = 0
    """Of all heads, after it went to the latent space."""
    inner: int = 0
    """Inner width of a recurrent layer; `channels` those of its convolution, `state_bytes` its state."""
    channels: int = 0
    groups: int = 0
    state_bytes: int = 0
    feed_forward: int = 0
    fused: bool = False
    """Gate and up projection are one matrix."""
    plain: bool = False
    """Up and down projection only, no gate."""
    experts: int = 0
    experts_used: int = 0
    expert_width: int = 0
    experts_fused: bool = False
    shared_width: int = 0
    post_norms: bool = False
    per_layer: int = 0
    """Width of the per-layer input (gemma's E models)."""
    feed_forward_beside: bool = False
    """Experts and a dense feed-forward both read the same input (gemma 4)."""


@dataclass(frozen=True, slots=True)
class GraphWidths:
    """A whole model."""

    embedding: int
    vocabulary: int
    layers: tuple[LayerWidths, ...]
    """One of each kind in the order of the model; the last stands for the last layer."""
    tokens: int
    outputs: int
    flash_attention: bool = True
    scaled_input: bool = False
    per_layer_total: int = 0
    """Elements per token of all per-layer inputs."""
    encoder: bool = False


class _Builder:
    """Adds the layers of one graph."""

    def __init__(self, widths: GraphWidths) -> None:
        self.widths = widths
        self.graph = Graph()
        self.tokens = widths.tokens
        self.positions = -1
        self.masks: dict[bool, int] = {}
        self.indices: dict[bool, tuple[int, int]] = {}
        self.per_layer = -1
        self.embedded = -1
        """The scaled embedding, until the per-layer input is projected from it."""

    def size(self, elements: int) -> int:
        return F32 * self.tokens * elements

    def norm(self, source: int, elements: int) -> int:
        """RMS norm and its weights: the first takes the place of its input where that is not needed any more."""
        graph = self.graph
        size = self.size(elements)
        return graph.node(size, graph.node(size, source, inplace=True), inplace=True)

    def build(self) -> Graph:
        widths = self.widths
        graph = self.graph
        hidden = graph.node(self.size(widths.embedding))
        if widths.per_layer_total:
            self.per_layer = graph.node(self.size(widths.per_layer_total))
        self._inputs()
        if widths.per_layer_total:
            self.per_layer = graph.node(self.size(widths.per_layer_total), view(self.per_layer))
        if widths.scaled_input:
            hidden = graph.node(self.size(widths.embedding), hidden, inplace=True)
        if widths.per_layer_total:
            self.embedded = hidden
        last = len(widths.layers) - 1
        for number, layer in enumerate(widths.layers):
            hidden = self._layer(layer, hidden, last=number == last)
        result = graph.keep(self.norm(hidden, widths.embedding))
        if widths.vocabulary:
            graph.keep(graph.node(self.size(widths.vocabulary), result))
        return graph

    def _inputs(self) -> None:
        """Positions, cells to write and masks come as copies from the host when the first layer starts."""
        graph, tokens = self.graph, self.tokens
        self.positions = graph.node(4 * tokens)
        element = 2 if self.widths.flash_attention else 4
        for layer in self.widths.layers:
            if layer.mixer not in (Mixer.ATTENTION, Mixer.LATENT) or layer.sliding in self.masks:
                continue
            if not self.widths.encoder:
                # Without flash attention values are stored transposed: one index for every element.
                each = 1 if self.widths.flash_attention else layer.value
                self.indices[layer.sliding] = (graph.node(8 * tokens), graph.node(8 * tokens * each))
            self.masks[layer.sliding] = graph.node(element * tokens * layer.cells)

    def _layer(self, layer: LayerWidths, hidden: int, *, last: bool) -> int:
        graph = self.graph
        embedding = self.widths.embedding
        mixed = self._mix(layer, hidden)
        if mixed is not None and layer.mixer is Mixer.DELTA_NET and not last:
            mixed = view(mixed)
        if last and self.widths.outputs != self.tokens:
            self.tokens = self.widths.outputs
            if mixed is not None:
                mixed = graph.node(self.size(embedding), mixed)
            if self.per_layer >= 0:
                self.per_layer = graph.node(self.size(self.widths.per_layer_total), view(self.per_layer))
            hidden = graph.node(self.size(embedding), hidden)
        if mixed is not None:
            if layer.post_norms:
                mixed = self.norm(mixed, embedding)
            hidden = graph.node(self.size(embedding), mixed, hidden, inplace=True)
        fed = self._feed(layer, hidden)
        if fed is not None:
            hidden = graph.node(self.size(embedding), fed, hidden, inplace=True)
        if layer.per_layer:
            hidden = self._per_layer(layer, hidden)
        return hidden

    def _mix(self, layer: LayerWidths, hidden: int) -> int | None:
        if layer.mixer is Mixer.NONE:
            return None
        normed = hidden if self.widths.encoder else self.norm(hidden, self.widths.embedding)
        match layer.mixer:
            case Mixer.ATTENTION:
                mixed, width = self._attention(layer, normed), layer.attended
            case Mixer.LATENT:
                mixed, width = self._latent(layer, normed), layer.attended
            case Mixer.DELTA_NET:
                mixed, width = self._delta_net(layer, normed), layer.inner
            case Mixer.MAMBA:
                mixed, width = self._mamba(layer, normed), layer.inner
            case _:
                mixed, width = self._convolution(layer, normed), layer.inner
        del width
        return self.graph.node(self.size(self.widths.embedding), mixed)

    def _attention(self, layer: LayerWidths, normed: int) -> int:
        graph = self.graph
        if layer.gated:
            projected = graph.node(self.size(2 * layer.query), normed)
        else:
            projected = graph.node(self.size(layer.query), normed)
        query = self._turned(layer, view(projected), layer.query)
        value = key = -1
        if layer.value:
            value = graph.node(self.size(layer.value), normed)
        if layer.key:
            key = self._turned(layer, view(graph.node(self.size(layer.key), normed)), layer.key)
        if layer.value_norm and value >= 0:
            value = graph.node(self.size(layer.value), view(value))
        mixed = self._attend(layer, query, key, value)
        if layer.gated:
            opened = graph.node(self.size(layer.query), view(projected))
            opened = graph.node(self.size(layer.query), opened, inplace=True)
            mixed = graph.node(self.size(layer.query), view(mixed), opened, inplace=True)
        return mixed

    def _turned(self, layer: LayerWidths, source: int, elements: int) -> int:
        """Norm each head where the model does, then rotate by position."""
        if layer.head_norms:
            source = self.norm(source, elements)
        return self.graph.node(self.size(elements), source, self.positions, inplace=True)

    def _attend(self, layer: LayerWidths, query: int, key: int, value: int) -> int:
        graph = self.graph
        mask = self.masks[layer.sliding]
        if self.widths.encoder:
            return self._attend_all(layer, query, key, value, mask)
        to_key, to_value = self.indices[layer.sliding]
        if key >= 0:
            graph.reads(key, to_key)
        if value >= 0:
            graph.reads(value, to_value)
        if self.widths.flash_attention:
            return graph.node(self.size(layer.attended) + layer.copied, query, mask)
        scores = self.size(layer.heads * layer.cells)
        products = graph.node(scores, query)
        softmax = graph.node(scores, products, mask, inplace=True)
        mixed = graph.node(self.size(layer.attended), softmax)
        return graph.node(self.size(layer.attended), view(mixed))

    def _attend_all(self, layer: LayerWidths, query: int, key: int, value: int, mask: int) -> int:
        """Attend within the batch, as encoders do: keys and values are tensors of the graph, not of a cache."""
        graph = self.graph
        if self.widths.flash_attention:
            key = graph.node(self.size(layer.key) // 2, key)
            value = graph.node(self.size(layer.value) // 2, value)
            return graph.node(self.size(layer.attended), query, key, value, mask)
        scores = self.size(layer.heads * layer.cells)
        products = graph.node(scores, query, key)
        softmax = graph.node(scores, products, mask, inplace=True)
        turned = graph.node(self.size(layer.value), value)
        mixed = graph.node(self.size(layer.attended), turned, softmax)
        return graph.node(self.size(layer.attended), mixed)

    def _latent(self, layer: LayerWidths, normed: int) -> int:
        """Attend in the latent space: one key row for all heads, wide queries."""
        graph = self.graph
        query = graph.node(self.size(layer.query), normed)
        compressed = graph.node(self.size(layer.key), normed)
        turned = graph.node(self.size(layer.query // 2), query, self.positions)
        key = graph.node(self.size(layer.key), compressed)
        absorbed = graph.node(self.size(layer.latent_query), query)
        wide = graph.node(self.size(layer.latent_query + layer.query // 2), absorbed, turned)
        full = graph.node(self.size(layer.key), key)
        mixed = self._attend(layer, wide, full, -1)
        values = graph.node(self.size(layer.value), mixed)
        return graph.node(self.size(layer.value), values)

    def _delta_net(self, layer: LayerWidths, normed: int) -> int:
        """Gated delta net: convolution over query, key and value, then the fused recurrence."""
        graph = self.graph
        convolved = graph.node(self.size(layer.channels), normed)
        extended = graph.node(self.size(layer.channels), convolved)
        state = graph.node(layer.state_bytes)
        filtered = graph.node(self.size(layer.channels), extended)
        filtered = graph.node(self.size(layer.channels), filtered, inplace=True)
        query = graph.node(self.size(layer.groups), filtered)
        key = graph.node(self.size(layer.groups), filtered)
        out = graph.node(self.size(layer.inner) + layer.state_bytes, query, key, filtered, state)
        graph.reads(out)
        normal = self.norm(view(out), layer.inner)
        gate = graph.node(self.size(layer.inner), normed)
        gate = graph.node(self.size(layer.inner), view(gate))
        return graph.node(self.size(layer.inner), normal, gate, inplace=True)

    def _mamba(self, layer: LayerWidths, normed: int) -> int:
        """Selective scan: one projection makes gate, convolved channels and steps."""
        graph = self.graph
        projected = graph.node(self.size(layer.inner + layer.channels), normed)
        state = graph.node(layer.state_bytes)
        extended = graph.node(self.size(layer.channels), projected)
        filtered = graph.node(self.size(layer.channels), extended)
        filtered = graph.node(self.size(layer.channels), filtered, inplace=True)
        filtered = graph.node(self.size(layer.channels), filtered, inplace=True)
        scanned = graph.node(self.size(layer.inner) + layer.state_bytes, filtered, state)
        summed = graph.node(self.size(layer.inner), scanned, filtered)
        return graph.node(self.size(layer.inner), projected, summed)

    def _convolution(self, layer: LayerWidths, normed: int) -> int:
        """Short convolution (lfm2): three parts of one projection, two of them multiplied."""
        graph = self.graph
        parts = graph.node(self.size(3 * layer.inner), normed)
        product = graph.node(self.size(layer.inner), parts)
        extended = graph.node(self.size(layer.inner), product)
        filtered = graph.node(self.size(layer.inner), extended)
        return graph.node(self.size(layer.inner), parts, filtered)

    def _feed(self, layer: LayerWidths, hidden: int) -> int | None:
        embedding = self.widths.embedding
        if not layer.experts_used and not layer.feed_forward:
            return None
        graph = self.graph
        if layer.feed_forward_beside:
            router = self.norm(hidden, embedding)
            mixed = self._experts(layer, self.norm(hidden, embedding), router)
            dense = self._dense(layer, self.norm(hidden, embedding), layer.feed_forward)
            dense = self.norm(dense, embedding)
            mixed = self.norm(mixed, embedding)
            fed = graph.node(self.size(embedding), dense, mixed, inplace=True)
        else:
            normed = hidden if self.widths.encoder else self.norm(hidden, embedding)
            if layer.experts_used:
                fed = self._experts(layer, normed)
                if layer.shared_width:
                    shared = self._dense(layer, normed, layer.shared_width)
                    fed = graph.node(self.size(embedding), fed, shared, inplace=True)
            else:
                fed = self._dense(layer, normed, layer.feed_forward)
        return self.norm(fed, embedding) if layer.post_norms else fed

    def _dense(self, layer: LayerWidths, normed: int, width: int) -> int:
        graph = self.graph
        if layer.plain:
            up = graph.node(self.size(width), normed)
            active = graph.node(self.size(width), up, inplace=True)
        elif layer.fused:
            active = graph.node(self.size(width), graph.node(self.size(2 * width), normed))
        else:
            gate = graph.node(self.size(width), normed)
            up = graph.node(self.size(width), normed)
            active = graph.node(self.size(width), gate, up)
        return graph.node(self.size(self.widths.embedding), active)

    def _experts(self, layer: LayerWidths, normed: int, router: int | None = None) -> int:
        graph = self.graph
        embedding, used = self.widths.embedding, layer.experts_used
        scores = graph.node(self.size(layer.experts), normed if router is None else router)
        scores = graph.node(self.size(layer.experts), scores, inplace=True)
        order = graph.node(self.size(layer.experts), scores)
        chosen = graph.node(self.size(used), view(scores), view(order))
        chosen = graph.node(self.size(used), view(chosen))
        if layer.experts_fused:
            both = graph.node(self.size(2 * used * layer.expert_width), normed, order)
            active = graph.node(self.size(used * layer.expert_width), both)
        else:
            gate = graph.node(self.size(used * layer.expert_width), normed, order)
            up = graph.node(self.size(used * layer.expert_width), normed, order)
            active = graph.node(self.size(used * layer.expert_width), gate, up)
        down = graph.node(self.size(used * embedding), active, order)
        weighted = graph.node(self.size(used * embedding), down, chosen, inplace=True)
        # Each expert's part is added from a view, so all of them stay until the last.
        total = graph.node(self.size(embedding), view(weighted), view(weighted))
        for _ in range(used - 2):
            total = graph.node(self.size(embedding), total, view(weighted), inplace=True)
        return total

    def _per_layer(self, layer: LayerWidths, hidden: int) -> int:
        """Add what the per-layer embedding says (gemma's E models); the first layer projects it for all."""
        graph = self.graph
        gate = graph.node(self.size(layer.per_layer), hidden)
        gate = graph.node(self.size(layer.per_layer), gate, inplace=True)
        if self.embedded >= 0:
            total = self.size(self.widths.per_layer_total)
            projected = graph.node(total, self.embedded)
            projected = graph.node(total, projected, inplace=True)
            projected = self.norm(view(projected), self.widths.per_layer_total)
            projected = graph.node(total, projected, self.per_layer, inplace=True)
            projected = graph.node(total, projected, inplace=True)
            self.per_layer = graph.node(total, view(projected))
            self.embedded = -1
        gate = graph.node(self.size(layer.per_layer), gate, view(self.per_layer), inplace=True)
        added = graph.node(self.size(self.widths.embedding), gate)
        added = self.norm(added, self.widths.embedding)
        return graph.node(self.size(self.widths.embedding), hidden, added, inplace=True)


def graph_bytes(widths: GraphWidths) -> int:
    """Return the compute buffer that the graph of a model needs on the card that runs it."""
    return _Builder(widths).build().peak_bytes()
