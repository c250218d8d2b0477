"""`cite`: BibTeX for what a summary was made with."""

from multidd.summary import DataSummary

_OURS = """@software{multidd,
  title = {multidd: dataset distillation in every modality},
  year = {2026},
  version = {%s},
}"""

_WORKS = {
    "gcond": """@inproceedings{jin2022gcond,
  title = {Graph Condensation for Graph Neural Networks},
  author = {Jin, Wei and Zhao, Lingxiao and Zhang, Shichang and Liu, Yozen and
            Tang, Jiliang and Shah, Neil},
  booktitle = {ICLR},
  year = {2022},
}""",
    "doscond": """@inproceedings{jin2022doscond,
  title = {Condensing Graphs via One-Step Gradient Matching},
  author = {Jin, Wei and Tang, Xianfeng and Jiang, Haoming and Li, Zheng and
            Zhang, Danqing and Tang, Jiliang and Yin, Bing},
  booktitle = {KDD},
  year = {2022},
}""",
    "gcdm": """@article{liu2022gcdm,
  title = {Graph Condensation via Receptive Field Distribution Matching},
  author = {Liu, Mengyang and Li, Shanchuan and Chen, Xinshi and Song, Le},
  journal = {arXiv 2206.13697},
  year = {2022},
}""",
    "dm_x": """@inproceedings{zhao2023dm,
  title = {Dataset Condensation with Distribution Matching},
  author = {Zhao, Bo and Bilen, Hakan},
  booktitle = {WACV},
  year = {2023},
}""",
    "condense": """@inproceedings{gao2025cgc,
  title = {Rethinking and Accelerating Graph Condensation: A Training-Free Approach
           with Class Partition},
  author = {Gao, Xinyi and Ye, Guanhua and Chen, Tong and Zhang, Wentao and
            Yu, Junliang and Yin, Hongzhi},
  booktitle = {WWW},
  year = {2025},
}""",
    "herding": """@inproceedings{welling2009herding,
  title = {Herding Dynamical Weights to Learn},
  author = {Welling, Max},
  booktitle = {ICML},
  year = {2009},
}""",
    "kcenter": """@inproceedings{sener2018coreset,
  title = {Active Learning for Convolutional Neural Networks: A Core-Set Approach},
  author = {Sener, Ozan and Savarese, Silvio},
  booktitle = {ICLR},
  year = {2018},
}""",
    "kmeans": """@article{lloyd1982kmeans,
  title = {Least Squares Quantization in {PCM}},
  author = {Lloyd, Stuart},
  journal = {IEEE Transactions on Information Theory},
  volume = {28},
  number = {2},
  year = {1982},
}""",
}
_WORKS["gcond_x"] = _WORKS["gcond"]


def cite(made: DataSummary | str) -> str:
    """BibTeX for the method of a summary, and for this library.

    Args:
        made: a summary, or the name of a method.

    Returns:
        BibTeX entries. A method that has no paper of its own gives the library alone.

    Example:
        >>> print(cite("gcond").splitlines()[0])
        @inproceedings{jin2022gcond,
    """
    import multidd

    method = made if isinstance(made, str) else made.card.method
    ours = _OURS % multidd.__version__
    return f"{_WORKS[method]}\n\n{ours}" if method in _WORKS else ours
