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
    "dc": """@inproceedings{zhao2021dc,
  title = {Dataset Condensation with Gradient Matching},
  author = {Zhao, Bo and Mopuri, Konda Reddy and Bilen, Hakan},
  booktitle = {ICLR},
  year = {2021},
}""",
    "dsa": """@inproceedings{zhao2021dsa,
  title = {Dataset Condensation with Differentiable Siamese Augmentation},
  author = {Zhao, Bo and Bilen, Hakan},
  booktitle = {ICML},
  year = {2021},
}""",
    "dcc": """@inproceedings{lee2022dcc,
  title = {Dataset Condensation with Contrastive Signals},
  author = {Lee, Saehyung and Chun, Sanghyuk and Jung, Sangwon and Yun, Sangdoo and
            Yoon, Sungroh},
  booktitle = {ICML},
  year = {2022},
}""",
    "idc": """@inproceedings{kim2022idc,
  title = {Dataset Condensation via Efficient Synthetic-Data Parameterization},
  author = {Kim, Jang-Hyun and Kim, Jinuk and Oh, Seong Joon and Yun, Sangdoo and
            Song, Hwanjun and Jeong, Joonhyun and Ha, Jung-Woo and Song, Hyun Oh},
  booktitle = {ICML},
  year = {2022},
}""",
    "cafe": """@inproceedings{wang2022cafe,
  title = {{CAFE}: Learning to Condense Dataset by Aligning Features},
  author = {Wang, Kai and Zhao, Bo and Peng, Xiangyu and Zhu, Zheng and Yang, Shuo and
            Wang, Shuo and Huang, Guan and Bilen, Hakan and Wang, Xinchao and
            You, Yang},
  booktitle = {CVPR},
  year = {2022},
}""",
    "idm": """@inproceedings{zhao2023idm,
  title = {Improved Distribution Matching for Dataset Condensation},
  author = {Zhao, Ganlong and Li, Guanbin and Qin, Yipeng and Yu, Yizhou},
  booktitle = {CVPR},
  year = {2023},
}""",
    "m3d": """@inproceedings{zhang2024m3d,
  title = {{M3D}: Dataset Condensation by Minimizing Maximum Mean Discrepancy},
  author = {Zhang, Hansong and Li, Shikun and Wang, Pengju and Zeng, Dan and
            Ge, Shiming},
  booktitle = {AAAI},
  year = {2024},
}""",
    "iid": """@inproceedings{deng2024iid,
  title = {Exploiting Inter-sample and Inter-feature Relations in Dataset
           Distillation},
  author = {Deng, Wenxiao and Li, Wenbin and Ding, Tianyu and Wang, Lei and
            Zhang, Hongguang and Huang, Kuihua and Huo, Jing and Gao, Yang},
  booktitle = {CVPR},
  year = {2024},
}""",
    "ncfm": """@inproceedings{wang2025ncfm,
  title = {Dataset Distillation with Neural Characteristic Function: A Minmax
           Perspective},
  author = {Wang, Shaobo and Yang, Yicun and Liu, Zhiyuan and Sun, Chenghao and
            Hu, Xuming and He, Conghui and Zhang, Linfeng},
  booktitle = {CVPR},
  year = {2025},
}""",
    "kip": """@inproceedings{nguyen2021kip,
  title = {Dataset Meta-Learning from Kernel Ridge-Regression},
  author = {Nguyen, Timothy and Chen, Zhourong and Lee, Jaehoon},
  booktitle = {ICLR},
  year = {2021},
}""",
    "rfad": """@inproceedings{loo2022rfad,
  title = {Efficient Dataset Distillation Using Random Feature Approximation},
  author = {Loo, Noel and Hasani, Ramin and Amini, Alexander and Rus, Daniela},
  booktitle = {NeurIPS},
  year = {2022},
}""",
    "mtt": """@inproceedings{cazenavette2022mtt,
  title = {Dataset Distillation by Matching Training Trajectories},
  author = {Cazenavette, George and Wang, Tongzhou and Torralba, Antonio and
            Efros, Alexei A. and Zhu, Jun-Yan},
  booktitle = {CVPR},
  year = {2022},
}""",
    "tesla": """@inproceedings{cui2023tesla,
  title = {Scaling Up Dataset Distillation to {ImageNet-1K} with Constant Memory},
  author = {Cui, Justin and Wang, Ruochen and Si, Si and Hsieh, Cho-Jui},
  booktitle = {ICML},
  year = {2023},
}""",
    "ftd": """@inproceedings{du2023ftd,
  title = {Minimizing the Accumulated Trajectory Error to Improve Dataset
           Distillation},
  author = {Du, Jiawei and Jiang, Yidi and Tan, Vincent Y. F. and
            Zhou, Joey Tianyi and Li, Haizhou},
  booktitle = {CVPR},
  year = {2023},
}""",
    "datm": """@inproceedings{guo2024datm,
  title = {Towards Lossless Dataset Distillation via Difficulty-Aligned Trajectory
           Matching},
  author = {Guo, Ziyao and Wang, Kai and Cazenavette, George and Li, Hui and
            Zhang, Kaipeng and You, Yang},
  booktitle = {ICLR},
  year = {2024},
}""",
    "frepo": """@inproceedings{zhou2022frepo,
  title = {Dataset Distillation using Neural Feature Regression},
  author = {Zhou, Yongchao and Nezhadarya, Ehsan and Ba, Jimmy},
  booktitle = {NeurIPS},
  year = {2022},
}""",
    "sre2l": """@inproceedings{yin2023sre2l,
  title = {Squeeze, Recover and Relabel: Dataset Condensation at {ImageNet} Scale From
           A New Perspective},
  author = {Yin, Zeyuan and Xing, Eric and Shen, Zhiqiang},
  booktitle = {NeurIPS},
  year = {2023},
}""",
    "rded": """@inproceedings{sun2024rded,
  title = {On the Diversity and Realism of Distilled Dataset: An Efficient Dataset
           Distillation Paradigm},
  author = {Sun, Peng and Shi, Bei and Yu, Daiwei and Lin, Tao},
  booktitle = {CVPR},
  year = {2024},
}""",
    "forgetting": """@inproceedings{toneva2019forgetting,
  title = {An Empirical Study of Example Forgetting during Deep Neural Network
           Learning},
  author = {Toneva, Mariya and Sordoni, Alessandro and Tachet des Combes, Remi and
            Trischler, Adam and Bengio, Yoshua and Gordon, Geoffrey J.},
  booktitle = {ICLR},
  year = {2019},
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
    "distill_cf": """@inproceedings{sachdeva2022infinite,
  title = {Infinite Recommendation Networks: A Data-Centric Approach},
  author = {Sachdeva, Noveen and Dhaliwal, Mehak Preet and Wu, Carole-Jean and
            McAuley, Julian},
  booktitle = {NeurIPS},
  year = {2022},
}""",
    "svp": """@inproceedings{sachdeva2022sampling,
  title = {On Sampling Collaborative Filtering Datasets},
  author = {Sachdeva, Noveen and Wu, Carole-Jean and McAuley, Julian},
  booktitle = {WSDM},
  year = {2022},
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
_WORKS |= {"gcond_x": _WORKS["gcond"], "dm": _WORKS["dm_x"]}


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
