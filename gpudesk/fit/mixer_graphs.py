"""What each kind of mixer adds to a compute graph: attention, latent attention, and the recurrent ones.

The order and the sizes are those of llama.cpp at b10488: src/llama-graph.cpp (`build_attn`, `build_rs`),
src/models/{deepseek2,delta-net-base,mamba-base,lfm2,falcon-h1,kimi-linear,rwkv7-base}.cpp.
"""

from __future__ import annotations

from gpudesk.fit.graph_memory import Graph, view
from gpudesk.fit.graph_widths import GraphWidths, LayerWidths, Mixer

F32 = 4
FETCHED_FIRST = frozenset([Mixer.MAMBA, Mixer.CONVOLUTION])
"""Their state is fetched before the rest of the layer before is computed (`build_rs` is expanded at once)."""


class Sketch:
    """A graph in the making, and what its layers share."""

    def __init__(self, widths: GraphWidths) -> None:
        """Start with an empty graph."""
        self.widths = widths
        self.graph = Graph()
        self.tokens = widths.tokens
        self.positions = -1
        self.masks: dict[bool, int] = {}
        self.indices: dict[bool, tuple[int, int]] = {}
        self.before = -1
        """Of the next scan, the tokens its convolution still sees, where they are fetched ahead."""
        self.first_values = -1
        """Of the first layer, where later ones add to them."""
        self.following: LayerWidths | None = None
        """The layer that comes next."""
        self.keys_first = any(layer.sliding for layer in widths.layers)
        """Where a model has two caches keys are stored before values (`build_attn` of both kinds)."""

    def size(self, elements: int) -> int:
        """Return the bytes of so many elements for each token."""
        return F32 * self.tokens * elements

    def node(self, elements: int, *sources: int, inplace: bool = False) -> int:
        """Add a tensor of so many elements for each token."""
        return self.graph.node(F32 * self.tokens * elements, *sources, inplace=inplace)

    def norm(self, source: int, elements: int) -> int:
        """RMS norm and its weights: the first takes the place of its input where that is not needed any more."""
        return self.node(elements, self.node(elements, source, inplace=True), inplace=True)


def mix(sketch: Sketch, layer: LayerWidths, hidden: int) -> int | None:
    """Add a layer's mixer and return what it puts out, before the projection back to the embedding's width."""
    if layer.mixer is Mixer.NONE:
        return None
    embedding = sketch.widths.embedding
    if layer.mixer in FETCHED_FIRST and sketch.before < 0:
        sketch.before = sketch.graph.node(layer.convolution_bytes)
    normed = hidden if sketch.widths.encoder else sketch.norm(hidden, embedding)
    match layer.mixer:
        case Mixer.ATTENTION:
            mixed = _attention(sketch, layer, normed)
        case Mixer.LATENT:
            mixed = _latent(sketch, layer, normed)
        case Mixer.SPREAD:
            mixed = _spread(sketch, layer, normed)
        case Mixer.DELTA_NET:
            mixed = _delta_net(sketch, layer, normed)
        case Mixer.KIMI_DELTA:
            mixed = _kimi_delta(sketch, layer, normed)
        case Mixer.MAMBA:
            parts = _scan(sketch, layer, normed, sketch.before)
            _fetch_ahead(sketch)
            mixed = _scanned(sketch, layer, *parts)
        case Mixer.BESIDE:
            return _beside(sketch, layer, hidden, normed)
        case Mixer.RWKV:
            mixed = _rwkv(sketch, layer, normed)
        case _:
            mixed = _convolution(sketch, layer, normed)
    return sketch.node(embedding, mixed)


def _attention(sketch: Sketch, layer: LayerWidths, normed: int) -> int:
    """Project, norm, rotate, store, attend: keys before values or after, as they are stored."""
    if layer.fused_input:
        return _fused_attention(sketch, layer, normed)
    projected = sketch.node(2 * layer.query if layer.gated else layer.query, normed)
    query = _turned(sketch, layer, view(projected), layer.query)
    if layer.keys_spread:
        query = sketch.node(layer.query, view(query))
    value = key = -1
    if layer.value and not sketch.keys_first:
        value = _values(sketch, layer, sketch.node(layer.value, normed))
    if layer.key:
        source = sketch.node(layer.key, normed)
        key = _turned(sketch, layer, view(source), layer.key)
        if layer.keys_spread:
            key = sketch.node(layer.key, view(key))
        if layer.value_is_key:
            value = _values(sketch, layer, source)
    if layer.value and value < 0:
        value = _values(sketch, layer, sketch.node(layer.value, normed))
    mixed = _attend(sketch, layer, query, key, value)
    if layer.values_spread and layer.mixer is not Mixer.BESIDE:
        mixed = sketch.node(layer.attended, view(mixed))
    if layer.gated:
        opened = sketch.node(layer.query, view(projected))
        opened = sketch.node(layer.query, opened, inplace=True)
        mixed = sketch.node(layer.query, view(mixed), opened, inplace=True)
    return mixed


def _values(sketch: Sketch, layer: LayerWidths, value: int) -> int:
    """Norm and spread values where the model and the cache have it so."""
    if layer.value_norm:
        value = sketch.node(layer.value, view(value))
    return sketch.node(layer.value, view(value)) if layer.values_spread else value


def _fused_attention(sketch: Sketch, layer: LayerWidths, normed: int) -> int:
    """Queries, keys and values are parts of one tensor: the first two are rotated into their own."""
    parts = sketch.node(layer.fused_input, normed)
    query = _turned(sketch, layer, view(parts), layer.query)
    key = _turned(sketch, layer, view(parts), layer.key)
    return _attend(sketch, layer, query, key, view(parts))


def _turned(sketch: Sketch, layer: LayerWidths, source: int, elements: int) -> int:
    """Norm each head where the model does, then rotate by position."""
    if layer.head_norms:
        source = sketch.norm(source, elements)
    return sketch.node(elements, source, sketch.positions, inplace=True)


def _attend(sketch: Sketch, layer: LayerWidths, query: int, key: int, value: int) -> int:
    """Store keys and values and attend to all that is stored; a negative node is read through a view, -1 is none."""
    graph = sketch.graph
    if sketch.widths.encoder:
        return _attend_all(sketch, layer, query, key, value)
    mask = sketch.masks[layer.sliding]
    to_key, to_value = sketch.indices[layer.sliding]
    if key >= 0:
        graph.reads(key, to_key)
    if value != -1:
        if not sketch.widths.flash_attention and layer.value < sketch.widths.widest_value:
            value = sketch.node(sketch.widths.widest_value, value if value < 0 else view(value))
        graph.reads(value, to_value)
    if sketch.widths.flash_attention:
        return graph.node(sketch.size(layer.attended) + layer.copied, query, mask)
    products = sketch.node(layer.heads * layer.cells, query)
    softmax = sketch.node(layer.heads * layer.cells, products, mask, inplace=True)
    mixed = sketch.node(layer.attended, softmax)
    return sketch.node(layer.attended, view(mixed))


def _attend_all(sketch: Sketch, layer: LayerWidths, query: int, key: int, value: int) -> int:
    """Attend within the batch, as encoders do: keys and values are tensors of the graph, not of a cache."""
    mask = sketch.masks[layer.sliding]
    if sketch.widths.flash_attention:
        key = sketch.graph.node(sketch.size(layer.key) // 2, key)
        value = sketch.graph.node(sketch.size(layer.value) // 2, value)
        return sketch.node(layer.attended, query, key, value, mask)
    scores = layer.heads * layer.cells
    products = sketch.node(scores, query, key)
    softmax = sketch.node(scores, products, mask, inplace=True)
    turned = sketch.node(layer.value, value)
    mixed = sketch.node(layer.attended, turned, softmax)
    return sketch.node(layer.attended, mixed)


def _compressed_query(sketch: Sketch, layer: LayerWidths, normed: int) -> int:
    if layer.query_rank:
        normed = sketch.norm(sketch.node(layer.query_rank, normed), layer.query_rank)
    return sketch.node(layer.query, normed)


def _latent(sketch: Sketch, layer: LayerWidths, normed: int) -> int:
    """Attend in the latent space: one key row for all heads, wide queries."""
    graph = sketch.graph
    rank, turning = layer.key - layer.rotated, layer.heads * layer.rotated
    query = _compressed_query(sketch, layer, normed)
    absorbed = sketch.node(layer.latent_query, view(query))
    turned = sketch.node(turning, view(query), sketch.positions) if turning else query
    wide = sketch.node(layer.latent_query + turning, view(absorbed), turned)
    compressed = sketch.node(layer.key, normed)
    kept = sketch.norm(view(compressed), rank)
    end = sketch.node(layer.rotated, view(compressed), sketch.positions) if turning else compressed
    key = sketch.node(layer.key, view(kept), end)
    mask = sketch.masks[layer.sliding]
    graph.reads(key, sketch.indices[layer.sliding][0])
    if sketch.widths.flash_attention:
        mixed = graph.node(sketch.size(layer.latent_query) + layer.copied, wide, mask)
    else:
        values = graph.node(F32 * rank * layer.cells)
        products = sketch.node(layer.heads * layer.cells, wide)
        softmax = sketch.node(layer.heads * layer.cells, products, mask, inplace=True)
        mixed = sketch.node(layer.latent_query, values, softmax)
    spread = sketch.node(layer.value, mixed)
    return sketch.node(layer.value, view(spread))


def _spread(sketch: Sketch, layer: LayerWidths, normed: int) -> int:
    """Latent attention as files before April 2025 have it: a key and a value for every head."""
    turning = layer.heads * layer.rotated
    projected = _compressed_query(sketch, layer, normed)
    turned = sketch.node(turning, view(projected), sketch.positions)
    query = sketch.node(layer.query, view(projected), turned)
    compressed = sketch.node(layer.groups + layer.rotated, normed)
    kept = sketch.norm(view(compressed), layer.groups)
    both = sketch.node(layer.key - turning + layer.value, kept)
    value = sketch.node(layer.value, view(both))
    end = sketch.node(layer.rotated, view(compressed), sketch.positions)
    repeated = sketch.node(turning, end)
    key = sketch.node(layer.key, view(both), repeated)
    return _attend(sketch, layer, query, key, value)


def _extended(sketch: Sketch, layer: LayerWidths, before: int, source: int) -> int:
    """Put the tokens before the batch in front."""
    graph = sketch.graph
    extended = graph.node(sketch.size(layer.channels) + layer.convolution_bytes, view(before), view(source))
    graph.reads(view(extended))
    return extended


def _delta_net(sketch: Sketch, layer: LayerWidths, normed: int) -> int:
    """Gated delta net: convolution over query, key and value, then the fused recurrence."""
    graph = sketch.graph
    before = graph.node(layer.convolution_bytes)
    extended = _extended(sketch, layer, before, sketch.node(layer.channels, normed))
    state = graph.node(layer.state_bytes)
    convolved = sketch.node(layer.channels, extended)
    convolved = sketch.node(layer.channels, convolved, inplace=True)
    query = sketch.node(layer.groups, view(convolved))
    key = sketch.node(layer.groups, view(convolved))
    decay = sketch.node(layer.steps, normed)
    rate = sketch.node(layer.steps, normed)
    sources = (query, key, view(convolved), decay, rate, view(state))
    out = graph.node(sketch.size(layer.inner) + layer.state_bytes, *sources)
    graph.reads(view(out))
    normal = sketch.norm(view(out), layer.inner)
    gate = sketch.node(layer.inner, view(sketch.node(layer.inner, normed)))
    return sketch.node(layer.inner, normal, gate, inplace=True)


def _kimi_delta(sketch: Sketch, layer: LayerWidths, normed: int) -> int:
    """Kimi's delta attention: three convolutions, a decay of its own for every channel."""
    graph, width = sketch.graph, layer.inner
    before = graph.node(3 * layer.convolution_bytes)
    extended = []
    for _ in range(3):
        source = sketch.node(width, normed)
        extended.append(graph.node(sketch.size(width) + layer.convolution_bytes, view(before), view(source)))
        graph.reads(view(extended[-1]))
    state = graph.node(layer.state_bytes)
    query, key, value = (sketch.node(width, view(sketch.node(width, part))) for part in extended)
    query, key = sketch.node(width, view(query)), sketch.node(width, view(key))
    decay = sketch.node(width, sketch.node(layer.steps, normed))
    decay = sketch.node(width, view(decay))
    rate = sketch.node(layer.heads, normed)
    out = graph.node(sketch.size(width) + layer.state_bytes, query, key, view(value), view(decay), rate, view(state))
    graph.reads(view(out))
    normal = sketch.norm(view(sketch.node(width, view(out))), width)
    gate = sketch.node(width, sketch.node(layer.steps, normed))
    opened = sketch.node(width, view(gate))
    return sketch.node(width, sketch.node(width, normal, opened, inplace=True))


def _fetch_ahead(sketch: Sketch) -> None:
    """Fetch the state of the next layer, if it is of the kind that does so."""
    following = sketch.following
    ahead = following is not None and following.mixer in FETCHED_FIRST
    sketch.before = sketch.graph.node(following.convolution_bytes) if ahead and following else -1


def _scan(sketch: Sketch, layer: LayerWidths, normed: int, before: int) -> tuple[int, int, int]:
    """Selective scan: one projection makes gate, convolved channels and steps."""
    graph = sketch.graph
    projected = sketch.node(layer.projected, normed)
    filtered = sketch.node(layer.channels, _extended(sketch, layer, before, projected))
    for _ in ("bias", "activation"):
        filtered = sketch.node(layer.channels, filtered, inplace=True)
    if layer.selective:
        parameters = sketch.node(layer.steps, filtered)
        steps = sketch.node(layer.inner, view(parameters))
        steps = sketch.node(layer.inner, steps, inplace=True)
    else:
        parameters = projected
        steps = sketch.node(layer.steps, view(projected))
        steps = sketch.node(layer.steps, steps, inplace=True)
    size = sketch.size(layer.inner) + layer.state_bytes
    scanned = graph.node(size, view(filtered), steps, view(parameters))
    graph.reads(view(scanned))
    return projected, filtered, scanned


def _scanned(sketch: Sketch, layer: LayerWidths, projected: int, filtered: int, scanned: int) -> int:
    """Add what passes the scan by, open the gate, and norm."""
    gate = sketch.node(layer.inner, view(projected))
    if layer.selective:
        passed = sketch.node(layer.inner, filtered, inplace=True)
        return sketch.node(layer.inner, gate, sketch.node(layer.inner, view(scanned), passed, inplace=True))
    passed = sketch.node(layer.inner, view(filtered))
    summed = sketch.node(layer.inner, view(scanned), passed, inplace=True)
    opened = sketch.node(layer.inner, gate, summed)
    return sketch.norm(view(opened), layer.inner)


def _beside(sketch: Sketch, layer: LayerWidths, hidden: int, normed: int) -> int:
    """Attention and a scan, both from the layer's input, added up."""
    embedding = sketch.widths.embedding
    attended = _attention(sketch, layer, normed)
    before = sketch.graph.node(layer.convolution_bytes)
    parts = _scan(sketch, layer, sketch.norm(hidden, embedding), before)
    if layer.values_spread:
        attended = sketch.node(layer.attended, view(attended))
    attended = sketch.node(embedding, view(attended))
    scanned = sketch.node(embedding, _scanned(sketch, layer, *parts))
    return sketch.node(embedding, attended, view(scanned), inplace=True)


def _convolution(sketch: Sketch, layer: LayerWidths, normed: int) -> int:
    """Short convolution (lfm2): three parts of one projection, two of them multiplied."""
    graph = sketch.graph
    before = sketch.before
    parts = sketch.node(3 * layer.inner, normed)
    product = sketch.node(layer.inner, view(parts), view(parts))
    extended = graph.node(sketch.size(layer.inner) + layer.convolution_bytes, view(before), view(product))
    graph.reads(view(extended))
    _fetch_ahead(sketch)
    filtered = sketch.node(layer.inner, extended)
    return sketch.node(layer.inner, view(parts), filtered, inplace=True)


def _rwkv(sketch: Sketch, layer: LayerWidths, normed: int) -> int:
    """Time mix: shifted tokens, and as many mixtures of them with the tokens as there are projections."""
    graph = sketch.graph
    width = layer.inner
    shifted = graph.node(sketch.size(width) + layer.convolution_bytes, normed)
    difference = sketch.node(width, shifted, normed)
    mixtures = sketch.node(layer.channels, difference, normed)
    mixtures = sketch.node(layer.channels, mixtures, inplace=True)
    state = graph.node(layer.state_bytes)
    parts = [sketch.node(width, view(mixtures)) for _ in range(layer.channels // width)]
    if len(parts) > 5:
        # The seventh generation: every layer adds to its values those of the first.
        if sketch.first_values < 0:
            sketch.first_values = graph.keep(parts[2])
        keys = sketch.node(width, parts[1])
        parts.append(sketch.node(width, keys))
        parts[4] = sketch.node(width, parts[4], keys, inplace=True)
    out = graph.node(sketch.size(width) + layer.state_bytes, *parts, view(state))
    graph.reads(view(out))
    normal = sketch.norm(view(out), width)
    return sketch.node(width, normal, view(mixtures), inplace=True)
