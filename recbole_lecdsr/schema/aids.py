"""Parameters of aids that any model can have."""

from __future__ import annotations

from recbole_lecdsr.schema.parameter import Parameter

AIDS = (
    Parameter(
        "score_fusion",
        bool,
        "Fuse the model's scores with interaction counts and text similarity. The weights of the fusion are fitted "
        "after each epoch on training interactions that the model is not trained on.",
        default=False,
        common=True,
    ),
    Parameter(
        "ema_decay",
        float,
        "Decay β of the moving average of the weights that scores. 0: the weights themselves. For models that are "
        "trained by steps.",
        default=0.0,
        minimum=0,
        below=1,
        common=True,
    ),
    Parameter(
        "no_item_semantics",
        bool,
        "Ablation: use no item texts, neither in the model nor in score fusion.",
        default=False,
        common=True,
    ),
)
