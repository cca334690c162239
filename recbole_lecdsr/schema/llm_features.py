"""Parameters of LLM features, the vectors that ``run_lecdsr.py embed`` writes and runs read."""

from __future__ import annotations

import re
from collections.abc import Callable

from recbole_lecdsr.schema.parameter import Parameter


def is_file_name(ending: str) -> Callable[[str], object]:
    """What `Parameter.accepts` of a name of a file, without a folder, that ends so."""
    return re.compile(rf"[^/\\]*{re.escape(ending)}").fullmatch


# Values of `user_vectors` and `item_vectors` that a text is compared with (docs/protocol.md, 17).
USER_PLACEBOS = ("random", "permuted", "id")
ITEM_PLACEBOS = ("random", "permuted")

LLM_FEATURES = (
    Parameter(
        "encoder",
        str,
        "Name or path of a sentence-transformers model, or openai:MODEL for an endpoint. An OpenAI-compatible "
        "embeddings endpoint has the pace and the retries of `llm`.",
        default="all-MiniLM-L6-v2",
        accepts=bool,
        expected="a name or a path",
        common=True,
    ),
    Parameter("encoder_batch_size", int, "Texts at a time.", default=64, minimum=1),
    Parameter(
        "encoder_prompt",
        str,
        "Text before each text, such as 'passage: ', or the name of a prompt of the model.",
        optional=True,
    ),
    Parameter("encoder_user_prompt", str, "The same for texts of users, if it is another.", optional=True),
    Parameter(
        "encoder_dim",
        int,
        "D, the size to which vectors are truncated. An endpoint is asked for it.",
        minimum=1,
        optional=True,
    ),
    Parameter("encoder_normalize", bool, "Scale vectors to length 1.", default=True),
    Parameter(
        "encoder_dtype",
        str,
        "Type of the weights of the encoder.",
        default="float32",
        choices=("float32", "float16", "bfloat16"),
    ),
    Parameter(
        "encoder_devices",
        list,
        "Devices with a process of their own, such as ['cuda:0', 'cuda:1'].",
        items=str,
        optional=True,
        expected="a list such as ['cuda:0', 'cuda:1']",
    ),
    Parameter(
        "encoder_max_tokens",
        int,
        "Tokens beyond which a text is split; the vectors of its pieces are averaged. The limit of the model holds if "
        "it is lower. An endpoint has none, and its tokens are estimated.",
        minimum=1,
        optional=True,
    ),
    Parameter(
        "embedding_reduction",
        str,
        "Reduce vectors by pca or whitening. Fitted on the items of both domains, applied to users too, and stored as "
        "<dataset>.reduction.npz.",
        choices=("pca", "whitening"),
        optional=True,
    ),
    Parameter("embedding_reduction_size", int, "Size of a reduced vector.", default=128, minimum=1),
    Parameter(
        "item_text",
        list,
        "Fields that make up the text of an item, in this order. Columns of <domain>.item and fields of items.jsonl "
        "and `item_file`.",
        default=["title", "description"],
        items=str,
        accepts=bool,
        expected="a list of fields, such as [title, description]",
    ),
    Parameter(
        "user_text",
        str,
        "Where vectors of users come from: profiles or history. profiles encodes the texts in `profile_file`; history "
        "needs no language model and takes the mean of the item vectors of the training interactions.",
        default="profiles",
        choices=("profiles", "history"),
        common=True,
    ),
    Parameter(
        "user_text_fields",
        list,
        "Fields of `profile_file` to encode, each as a vector of its own. None: `profile`, or in a file without it all "
        "fields with texts.",
        items=str,
        commas=True,
        accepts=bool,
        expected="a list of fields, such as [food, kitchen, both]",
        optional=True,
    ),
    Parameter(
        "user_text_joined", bool, "Join the fields of a user's profile to one text with one vector.", default=False
    ),
    Parameter(
        "item_embedding_file",
        str,
        "File of item vectors in each domain's folder, instead of <domain>.itememb. `embed` writes it, runs read it.",
        optional=True,
        accepts=is_file_name(".itememb"),
        expected="the name of a file, without a folder, that ends in .itememb, such as e5.itememb",
    ),
    Parameter(
        "user_embedding_file",
        str,
        "File of user vectors in the folder of the pair, instead of <dataset>.useremb. `embed` writes it, runs read "
        "it.",
        optional=True,
        accepts=is_file_name(".useremb"),
        expected="the name of a file, without a folder, that ends in .useremb, such as history.useremb",
    ),
    Parameter(
        "user_vectors",
        str,
        "Vectors of users: those of their profiles, a placebo of these, or none. random: Gaussian vectors of the same "
        "length; permuted: the profiles of other users; id: a trainable vector of each user, where the model has a "
        "place for it; none: the model's own switch, such as `no_user_profile`.",
        default="profiles",
        choices=("profiles", *USER_PLACEBOS, "none"),
        common=True,
    ),
    Parameter(
        "item_vectors",
        str,
        "Vectors of items: those of their texts, a placebo of these, or none. random: Gaussian vectors of the same "
        "length; permuted: the texts of other items of the domain; none: the model's own switch, such as "
        "`no_item_semantics`. Score fusion reads the same vectors.",
        default="text",
        choices=("text", *ITEM_PLACEBOS, "none"),
        common=True,
    ),
)
