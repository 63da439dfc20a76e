"""The cards as an engine's runners use them: how much is free, who holds what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpudesk.fit.values import CardBudget
from gpudesk.sim.cards import SimulatedProcess

if TYPE_CHECKING:
    from gpudesk.sim.cards import SimulatedCard, SimulatedCards


class EngineCards:
    """What an engine may use of the simulated cards: some of them, or one MIG slice of one."""

    def __init__(
        self,
        cards: SimulatedCards,
        *,
        visible: tuple[int, ...] | None = None,
        slice_index: int | None = None,
        integrated: bool = False,
    ) -> None:
        self._cards = cards
        self._visible = visible
        self._slice_index = slice_index
        self.integrated = integrated
        """The card uses the host's memory; nobody waits for it to be given back."""

    @property
    def indexes(self) -> tuple[int, ...]:
        """Numbers of the usable cards."""
        return tuple(card.index for card in self._cards.cards if self._visible is None or card.index in self._visible)

    def _card(self, index: int) -> SimulatedCard:
        return next(card for card in self._cards.cards if card.index == index)

    def total_bytes(self, index: int) -> int:
        """Memory of one card, or of the slice."""
        card = self._card(index)
        if self._slice_index is not None:
            return next(part.memory_total_bytes for part in card.slices if part.index == self._slice_index)
        return card.memory_total_bytes - card.memory_reserved_bytes

    def free_bytes(self, index: int) -> int:
        """Free memory as the driver tells it right now."""
        card = self._card(index)
        if self._slice_index is not None:
            part = next(part for part in card.slices if part.index == self._slice_index)
            return part.memory_total_bytes - part.memory_used_bytes
        return card.memory_free_bytes

    def budget(self, index: int, available_bytes: int) -> CardBudget:
        """Return a card as a runner is placed on it, with so much room."""
        card = self._card(index)
        return CardBudget(index, card.name, card.memory_total_bytes, available_bytes)

    def hold(self, pid: int, index: int, memory_bytes: int) -> None:
        """Let a process hold this much on a card, whatever it held before."""
        with self._cards.lock:
            card = self._card(index)
            before = card.processes.get(pid)
            self._account(card, memory_bytes - (before.memory_bytes if before else 0))
            card.processes[pid] = SimulatedProcess(pid, memory_bytes, slice_index=self._slice_index)

    def release(self, pid: int) -> None:
        """Let a process hold nothing on any card."""
        with self._cards.lock:
            for card in self._cards.cards:
                process = card.processes.pop(pid, None)
                if process is not None:
                    self._account(card, -process.memory_bytes)

    def disown(self, pid: int) -> tuple[tuple[int, int], ...]:
        """Let a process be gone and its memory stay: used, and nobody's. Returns card and bytes."""
        with self._cards.lock:
            kept = []
            for card in self._cards.cards:
                process = card.processes.pop(pid, None)
                if process is not None:
                    card.memory_hidden_bytes += process.memory_bytes
                    kept.append((card.index, process.memory_bytes))
            return tuple(kept)

    def give_back(self, kept: tuple[tuple[int, int], ...]) -> None:
        """Let memory that `disown` left behind be free."""
        with self._cards.lock:
            for index, memory_bytes in kept:
                card = self._card(index)
                card.memory_hidden_bytes -= memory_bytes
                self._account(card, -memory_bytes)

    def _account(self, card: SimulatedCard, change: int) -> None:
        for part in card.slices:
            if part.index == self._slice_index:
                part.memory_used_bytes += change
