"""Try the built wheel from another directory: `python tests/wheel_smoke.py FOLDER`.

FOLDER is where `pip install --target` put it. An editable install works even where a
sub-package or a data file is missing from the wheel; so the checkout is kept out of
sight here, and every file of it is looked for in FOLDER.
"""

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "torch_geometric", "transformers"}
SAMPLES = (
    "samples/cora.npz",
    "samples/fashion_mnist_small.npz",
    "samples/movietweetings_small.parquet",
    "samples/sms_spam/test.parquet",
    "samples/sms_spam/train.parquet",
)


def expected_files() -> dict[str, Path]:
    """File as installed, below multidd/ -> file of the checkout."""
    results = {}
    for folder in (ROOT / "multidd", ROOT / "modalities"):
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            hidden = any(p.startswith((".", "__pycache__")) for p in inside.parts)
            if path.is_file() and not hidden:
                results[inside.as_posix()] = path
    return results


def check_files(target: Path) -> list[str]:
    """Every file is in the wheel as it is in the checkout; return the modules."""
    expected = expected_files()
    assert set(SAMPLES) <= set(expected), "a sample is missing from the checkout"
    for name, source in expected.items():
        installed = target / "multidd" / name
        assert installed.is_file(), f"missing from the wheel: multidd/{name}"
        assert installed.read_bytes() == source.read_bytes(), f"stale: multidd/{name}"
    names = [n.removesuffix(".py") for n in expected if n.endswith(".py")]
    dotted = ["multidd." + n.replace("/", ".") for n in names if n != "__init__"]
    return sorted(
        n.removesuffix(".__init__") for n in dotted if not n.endswith("__main__")
    )


def check_imports(target: Path, modules: list[str]) -> None:
    sys.path.insert(0, str(target))
    sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
    import multidd

    assert not HEAVY & set(sys.modules), "import multidd loads torch"
    for name in modules:
        importlib.import_module(name)
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "multidd":
            assert Path(module.__file__).is_relative_to(target), (name, module)
    print(f"{len(modules)} modules import; multidd {multidd.__version__}")
    check_entries()


def check_entries() -> None:
    """The modalities are those of the wheel's own metadata, and each one loads."""
    import multidd
    from multidd import modality

    assert multidd.CHECKOUT is None
    folders = sorted(p.parent.name for p in (ROOT / "modalities").glob("*/__init__.py"))
    assert modality.own_names() == folders
    assert [entry.name for entry, _ in modality.with_parts()] == folders


def check_commands(target: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(target)}
    for command in (
        [sys.executable, "-m", "multidd", "--help"],
        [str(target / "bin" / "multidd"), "--help"],
    ):
        subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def check_condensing() -> None:
    import multidd

    summary = multidd.graph.kmeans(multidd.samples.cora(), nodes=70, seed=0)
    summary.save("summary.safetensors")
    assert multidd.load("summary.safetensors").digest() == summary.digest()
    print(summary)


def check_images() -> None:
    """The sample comes with the wheel, and two recipes give what can be judged."""
    import multidd

    train, test = multidd.samples.fashion()
    small = multidd.images.DMOptions(width=4, batch_size=8)
    few = {"kip": {"steps": 2}, "dm": {"steps": 1, "options": small}}
    for method, settings in few.items():
        distilled = multidd.images.METHODS[method](train, ipc=1, seed=0, **settings)
        again = multidd.load(distilled.save(f"{method}.safetensors"))
        assert again.digest() == distilled.digest()
        report = multidd.evaluate(again, on=test, models=["kernel"], seeds=1)
        accuracy = report.accuracy("kernel")
        assert accuracy > 0.25, f"{method}: {accuracy}, where guessing gives 0.1"
        print(f"{again}, kernel {100 * accuracy:.1f} %")


def main() -> None:
    target = Path(sys.argv[1]).resolve()
    modules = check_files(target)
    with tempfile.TemporaryDirectory() as elsewhere:
        os.chdir(elsewhere)
        check_imports(target, modules)
        check_commands(target)
        check_condensing()
        check_images()
        os.chdir(target)
    print("the wheel works")


if __name__ == "__main__":
    main()
