"""What tab About the maths shows: formulas with their names in the code, curves, exponents."""

import inspect
import random
from dataclasses import asdict, dataclass
from typing import Any

from app.looks import pieces_of
from app.outline import alphas, weights
from app.shelf import Shelf
from mdcore.codecs import Codec, Palette, TextCodec
from mdcore.schedules import SCHEDULES, LearnedPolynomial

Json = dict[str, Any]

SENTENCE = (
    "Once upon a time there was a little girl who lived with her grandmother in a cottage at the "
    "edge of the forest."
)
MOST_BARS = 48
"""Of a large vocabulary as many tokens are shown, half of them from either end."""


@dataclass(frozen=True)
class Formula:
    """A formula of the method.

    Attributes:
        title: what it is called.
        text: the formula.
        code: the name of what computes it.
        says: what it means.
    """

    title: str
    text: str
    code: str
    says: str


FORMULAS = (
    Formula(
        "Forward process",
        "q(zₜ = x | x) = αₜ,  q(zₜ = mask | x) = 1 − αₜ",
        "mdcore.diffusion.MD4.mask",
        "Each token by itself stays clean until time t with probability alpha, else it is a mask.",
    ),
    Formula(
        "Weight",
        "weight(t) = −α′ₜ / (1 − αₜ)",
        "mdcore.schedules.MaskingSchedule.weight",
        "The rate at which masks are removed at t, going backwards; what a masked token counts.",
    ),
    Formula(
        "The bound",
        "−log p(x) ≤ ∫ weight(t) · E[ Σ over masked n of −log μₙ(xₙ) ] dt + ends",
        "mdcore.diffusion.MD4.nelbo",
        "A cross entropy at the masked positions, weighted by the schedule and averaged over all "
        "times. The bound is the same for every schedule that all tokens share: a schedule decides "
        "how noisy its estimate is, and where sampling takes its steps.",
    ),
    Formula(
        "Reverse step",
        "P(mask → v between t and s) = (αₛ − αₜ) / (1 − αₜ) · μ(v)",
        "mdcore.schedules.MaskingSchedule.reveal",
        "The first factor does not ask the network: which masks go in a step is decided before it.",
    ),
    Formula(
        "Score",
        "s(mask, t)ⱼ = αₜ / (1 − αₜ) · μⱼ",
        "mdcore.diffusion.score",
        "How a network that predicts clean tokens gives the ratios that other papers learn.",
    ),
    Formula(
        "Another pace",
        "t of the network = time(αₜ)",
        "mdcore.pacing.Paced",
        "Why a trained network can be sampled under another schedule: alpha says all that it needs "
        "to know of the time.",
    ),
    Formula(
        "A schedule for each token (GenMD4)",
        "αₜ,ᵥ = 1 − t^wᵥ",
        "mdcore.schedules.LearnedPolynomial.alpha",
        "A token with a small exponent is masked early by the forward process, so it is revealed "
        "late in sampling.",
    ),
    Formula(
        "Its bound",
        "Σ over masked n of weightₓ(t) (−log μₙ(xₙ)) − weightₓ(t) + Σᵥ weightᵥ(t) μₙ(v)",
        "mdcore.diffusion.MD4.nelbo",
        "With a weight for each token two terms more; they cancel where all weights are the same.",
    ),
    Formula(
        "Learning it",
        "∇ = ∇ bound + ½ (L₁ − L₂) ∇ (log q(z₁|x) − log q(z₂|x))",
        "mdcore.diffusion.GenMD4.loss",
        "The schedule decides what is masked, so its gradient goes through the masks, too: two of "
        "them at each time (REINFORCE, leave-one-out).",
    ),
)


def lesson() -> Json:
    """All that is known without a model: formulas, a sentence with its noise, curves."""
    words = SENTENCE.split()
    chance = random.Random(1)  # the same numbers each time, so that words go in one order
    return {
        "formulas": [asdict(formula) for formula in FORMULAS],
        "words": [[word, round(chance.random(), 4)] for word in words],
        "schedules": [_curves(name) for name in SCHEDULES if SCHEDULES[name].shared],
    }


def _curves(name: str) -> Json:
    schedule = SCHEDULES.build({"name": name})
    about = (inspect.getdoc(SCHEDULES[name]) or "").split("\n")[0].rstrip(".:")
    return {
        "name": name,
        "about": about,
        "alphas": [round(alpha, 5) for alpha in alphas(schedule)],
        "weights": [float(f"{weight:.4g}") for weight in weights(schedule)],
    }


def learned(shelf: Shelf, name: object) -> Json:
    """The exponents of a model that learned its schedule, or of the first one.

    Returns:
        models: the names of all that did; and if there is one, name: its own, tokens: how many it
        has, and bars: [token, exponent] of each, the smallest exponent first.

    Raises:
        ValueError: there is no such model, or it learned none.
    """
    names = [entry.name for entry in shelf.usable() if entry.learned]
    if not names:
        return {"models": []}
    chosen = names[0] if name is None else name
    if chosen not in names:
        raise ValueError(
            f"{str(chosen)[:80]} learned no schedule. Choose one of: {', '.join(names)}."
        )
    checkpoint = shelf.load(str(chosen))
    schedule = checkpoint.model.schedule
    if not isinstance(schedule, LearnedPolynomial):
        raise ValueError(f"{chosen} learned a schedule without exponents.")
    exponents = schedule.exponent.detach().double().cpu()
    order = exponents.argsort().tolist()
    if len(order) > MOST_BARS:
        order = order[: MOST_BARS // 2] + order[-MOST_BARS // 2 :]
    titles = _titles(order, checkpoint.codec)
    values = [float(f"{exponents[token]:.4g}") for token in order]
    bars = [list(pair) for pair in zip(titles, values, strict=True)]
    return {"models": names, "name": chosen, "tokens": len(exponents), "bars": bars}


def _titles(tokens: list[int], codec: Codec[Any]) -> list[str]:
    """What to call tokens: their text, their colour, or their value."""
    if isinstance(codec, TextCodec):
        pieces = pieces_of(tokens, codec)
        return [_title(pieces[str(token)]) for token in tokens]
    if isinstance(codec, Palette):
        return [f"#{bytes(codec.colours[token]).hex()}" for token in tokens]
    return [f"value {token}" for token in tokens]


def _title(piece: str | list[int]) -> str:
    if isinstance(piece, list):
        return "bytes " + bytes(piece).hex(" ")
    return {" ": "space", "\n": "new line", "": "nothing"}.get(piece, piece.replace(" ", "␣"))
