"""The entry of images: command line, demo, defaults of curves."""

from typing import Annotated, Any

from multidd.modality import DISTILL, Bench, Curve, Demo, Listed, Modality, Parts

__all__ = ["ENTRY"]


def options(
    method: str,
    data: Annotated[
        str,
        "mnist, cifar10, sample:fashion, another benchmark, a file, a folder, or a hub "
        "id.",
    ] = "fashion-mnist",
    ipc: Annotated[int | None, "Images per class."] = None,
    budget_bytes: Annotated[int | None, "Bytes in all, labels counted."] = None,
    class_balance: Annotated[
        str, "Images per class: equal, or proportional to its size."
    ] = "equal",
    zca: Annotated[bool, "Whiten the pixels."] = False,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Distill images, to --ipc or to --budget-bytes.

    The best of several methods on held-out images, or --method by name.
    """
    budget = {"ipc": ipc, "budget_bytes": budget_bytes, "class_balance": class_balance}
    if method != DISTILL:
        return {"data": data}, budget | {"zca": zca}
    if zca:
        raise ValueError("--zca is for a method by name: give --method too")
    return {"data": data}, budget


def sketch_options(
    per_class: Annotated[int, "Images of each class that are kept at most."] = 5_000,
    image: Annotated[str | None, "Column of images; a usual name is found."] = None,
    label: Annotated[str | None, "Column of labels; a usual name is found."] = None,
    size: Annotated[int | None, "Height and width that they are brought to."] = None,
) -> dict[str, Any]:
    """Keep --per-class images of data larger than memory, as an .npz file."""
    return {"per_class": per_class, "image": image, "label": label, "size": size}


def parts() -> Parts:
    """Summaries, evaluators, methods, data and published numbers."""
    from multidd import images
    from multidd.images.data import benchmarks
    from multidd.images.data.sketch import write_images
    from multidd.images.evaluation import choices, published
    from multidd.images.methods.composition import compose

    return Parts(
        summaries={"images": images.ImageSummary},
        evaluators={"images": images.Evaluator},
        methods=images.METHODS,
        with_loop=images.LEARNED,
        load_for_evaluation=images.load_for_evaluation,
        data_names=("sample:", *benchmarks.DATASETS),
        published=published,
        choices=choices,
        sketch=images.sketch,
        write_data=write_images,
        distill=compose,
    )


ENTRY = Modality(
    name="images",
    about="Image distillation",
    face="multidd.images",
    method=DISTILL,
    options=options,
    parts=parts,
    sketch=sketch_options,
    demo=Demo(
        title="Fashion-MNIST: 3,500 pictures of clothes, distilled to 10 ...",
        data="sample:fashion",
        method="dm",
        options={"ipc": 1, "steps": 100, "batch_size": 64},
        evaluate={
            "protocol": "quick",
            "rows": ["random", "herding", "kcenter", "kmeans"],
        },
    ),
    curve=Curve(
        data="sample:fashion",
        methods=("dm", "random", "kmeans"),
        budget="ipc",
        values=(1, 5, 10),
        option="ipcs",
    ),
    bench=Bench(),
    listed=Listed(
        methods=(
            "dm m3d cafe idm iid ncfm dc dsa dcc idc kip rfad frepo mtt tesla ftd "
            "datm dd sldd ld rat_bptt linba sre2l rded kfs haba gtn itgan latent "
            "random herding kcenter kmeans forgetting"
        ).split(),
        models="convnet mlp cnn lenet alexnet vgg11 resnet18 vit kernel".split(),
        protocols="dsa dsa-search dc quick".split(),
        data=(
            "sample:fashion mnist fashion-mnist cifar10 cifar100 tiny-imagenet"
        ).split(),
    ),
)
