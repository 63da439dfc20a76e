"""How much memory a compute graph needs when tensors that are no longer read give their room back.

It does what ggml does: every node gets the smallest free block that takes it, or the place of an input that nothing
else reads; a tensor is freed when its last reader is done (llama.cpp ggml/src/ggml-alloc.c, `ggml_dyn_tallocr_alloc`
and `ggml_gallocr_alloc_graph_impl`, at b10488).
"""

from __future__ import annotations

ALIGNMENT_BYTES = 128
"""Of a CUDA buffer (ggml/src/ggml-cuda/ggml-cuda.cu); other backends differ by less than a page per tensor."""

VULKAN_WINDOW, VULKAN_WINDOW_RECURRENT = 18, 12
"""Nodes it looks ahead: 20 less the views among them, which are not in the graph here; recurrent layers have many."""


def view(node: int) -> int:
    """Name a node that is read through a view of it; nothing is computed in place of a view."""
    return ~node


class Graph:
    """Nodes in the order they are computed; an `int` names a node."""

    __slots__ = ("_inplace", "_output", "_sizes", "_sources", "_views")

    def __init__(self) -> None:
        """Start without nodes."""
        self._sizes: list[int] = []
        self._sources: list[tuple[int, ...]] = []
        self._views: dict[int, frozenset[int]] = {}
        self._inplace: list[bool] = []
        self._output: set[int] = set()

    def node(self, size: int, *sources: int, inplace: bool = False) -> int:
        """Add a node of this many bytes that reads `sources`; `inplace` if it may overwrite one of them.

        In place work: element-wise operations, norms, softmax, rope (`ggml_op_can_inplace`).
        """
        number = len(self._sources)
        self._sizes.append(-(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES)
        if sources and min(sources) < 0:
            self._views[number] = frozenset([~source for source in sources if source < 0])
            sources = tuple([source if source >= 0 else ~source for source in sources])
        self._sources.append(sources)
        self._inplace.append(inplace)
        return number

    def resize(self, node: int, size: int) -> None:
        """Give a node another size."""
        self._sizes[node] = -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES

    def keep(self, node: int) -> int:
        """Never free this node: an output of the graph."""
        self._output.add(node)
        return node

    def reads(self, *sources: int) -> None:
        """Add a reader that needs no memory of its own: a store into the KV cache."""
        self.node(0, *sources)

    def interleaved(self, window: int) -> Graph:
        """Return the graph in about the order in which Vulkan computes it: what is ready soon is pulled forward.

        `window` is how many nodes it looks ahead.

        Sources: ggml/src/ggml-vulkan/ggml-vulkan.cpp at b9849 (`ggml_vk_graph_optimize`); of the operations it keeps
        together those are followed that norms and sums are made of.
        """
        count = len(self._sizes)
        order = list(range(next((node for node in range(count) if self._sources[node]), count)))
        done = [node < len(order) for node in range(count)]
        first = len(order)
        while first < count:
            taken = [first]
            for node in range(first + 1, min(first + window, count)):
                if not done[node] and all(
                    done[source] or (source == node - 1 == taken[-1] and self._is_fused(source, node))
                    for source in self._sources[node]
                ):
                    taken.append(node)
            for node in taken:
                done[node] = True
            order += taken
            while first < count and done[first]:
                first += 1
        return self._ordered(order)

    def _is_fused(self, source: int, node: int) -> bool:
        """Tell whether a node is computed together with its source: halves of a norm, a product and its sum."""
        if not self._inplace[node]:
            return False
        if len(self._sources[node]) == 1:
            return self._inplace[source] or source in self._views
        return len(self._sources[node]) == 2 and not self._inplace[source]

    def _ordered(self, order: list[int]) -> Graph:
        made = Graph()
        place = {node: number for number, node in enumerate(order)}
        for node in order:
            views = self._views.get(node, ())
            sources = [view(place[source]) if source in views else place[source] for source in self._sources[node]]
            made.node(self._sizes[node], *sources, inplace=self._inplace[node])
        made._output = {place[node] for node in self._output}
        return made

    def peak_bytes(self) -> int:
        """Return the size of the one buffer in which all nodes find their place."""
        sizes, all_sources, inplace = self._sizes, self._sources, self._inplace
        readers = [0] * len(sizes)
        for sources in all_sources:
            for source in sources:
                readers[source] += 1
        for node in self._output:
            readers[node] += 1
        place = [-1] * len(sizes)
        room = _Room()
        take, give = room.take, room.give
        for node, size in enumerate(sizes):
            sources = all_sources[node]
            if size:
                taken = -1
                if inplace[node]:
                    for source in sources:
                        if (
                            readers[source] == 1
                            and sizes[source] == size
                            and place[source] >= 0
                            and source not in self._views.get(node, ())
                        ):
                            taken = place[source]
                            place[source] = -1
                            break
                place[node] = take(size) if taken < 0 else taken
            for source in sources:
                left = readers[source] = readers[source] - 1
                if not left and place[source] >= 0:
                    give(place[source], sizes[source])
                    place[source] = -1
        return room.peak


class _Room:
    """Free blocks by offset; the last one has no end."""

    __slots__ = ("_blocks", "peak")

    def __init__(self) -> None:
        self._blocks: list[tuple[int, int]] = [(0, 1 << 62)]
        self.peak = 0

    def take(self, size: int) -> int:
        blocks = self._blocks
        best = len(blocks) - 1
        if best:
            least = 1 << 63
            for index in range(best):
                free = blocks[index][1]
                if size <= free <= least:
                    best, least = index, free
        offset, free = blocks[best]
        end = offset + size
        if free == size:
            del blocks[best]
        else:
            blocks[best] = (end, free - size)
        if end > self.peak:
            self.peak = end
        return offset

    def give(self, offset: int, size: int) -> None:
        blocks = self._blocks
        index = 0
        # The last block has no end: nothing lies after it.
        while blocks[index][0] < offset:
            index += 1
        start, free = blocks[index]
        if start == offset + size:
            size += free
            del blocks[index]
        if index:
            before, free = blocks[index - 1]
            if before + free == offset:
                blocks[index - 1] = (before, free + size)
                return
        blocks.insert(index, (offset, size))
