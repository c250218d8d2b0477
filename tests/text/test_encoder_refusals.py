"""What no encoder is made of, and what none takes."""

import json

import pytest
import torch

from multidd.errors import StorageError
from multidd.text.models.encoder import Encoder
from tests.text import tiny


@pytest.fixture(scope="module")
def encoder():
    return tiny.encoder()


def test_a_tokenizer_with_more_words_than_the_table_is_refused():
    words = tiny.tokenizer((*tiny.VOCABULARY, "zebra"))
    with pytest.raises(ValueError, match="199 tokens.* 198 rows.*no row"):
        Encoder.of(tiny.model(), words)


def test_the_tokenizer_of_another_model_is_refused():
    with pytest.raises(ValueError, match="another model's; pass the tokenizer"):
        Encoder.of(tiny.model(), tiny.tokenizer(tiny.VOCABULARY[:-20]))
    with pytest.raises(ValueError, match="pads with id 0, the model with id 1"):
        Encoder.of(tiny.model(pad_token_id=1), tiny.tokenizer())


def test_a_loaded_model_needs_a_tokenizer():
    with pytest.raises(ValueError, match="pass tokenizer="):
        Encoder.of(tiny.model())


def test_tokenizers_that_are_none(tmp_path):
    with pytest.raises(TypeError, match="must be an id, a folder or a loaded .* int"):
        Encoder.of(tiny.model(), 7)
    with pytest.raises(ValueError, match="holds no tokenizer .*; pass tokenizer="):
        Encoder.of(tiny.model(), tmp_path)


def test_a_text_without_tokens():
    words = tiny.tokenizer()
    words.backend_tokenizer.post_processor = None  # which puts [CLS] and [SEP] around
    encoder = Encoder.of(tiny.model(), words, max_length=32)
    text = r"1 texts have no token, the first is number 1 \('\\u200b'\); drop them"
    with pytest.raises(ValueError, match=text):
        encoder.encode(["a film", "\u200b"])


def test_a_model_with_a_decoder_is_refused():
    import transformers

    sizes = {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    with torch.random.fork_rng(devices=[]):
        model = transformers.T5Model(transformers.T5Config(vocab_size=198, **sizes))
    text = "T5Model has an encoder and a decoder; pass the loaded encoder"
    with pytest.raises(ValueError, match=text):
        Encoder.of(model, tiny.tokenizer())


def test_pickled_weights_are_refused(tmp_path):
    tiny.folder(tmp_path)
    (tmp_path / "config.json").rename(tmp_path / "other.json")
    with pytest.raises(ValueError, match="holds no model: config.json is missing"):
        Encoder.of(tmp_path)
    (tmp_path / "other.json").rename(tmp_path / "config.json")
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(ValueError, match="pickled weights"):
        Encoder.of(tmp_path)


@pytest.fixture
def sharded(tmp_path):
    """A folder whose weights lie in several files."""
    folder = tmp_path / "model"
    tiny.model().save_pretrained(folder, max_shard_size="20KB")
    tiny.tokenizer().save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def change(path, **keys):
    """Other values of some keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_weights_in_several_files_are_read(sharded):
    assert Encoder.of(sharded, max_length=32).dim == tiny.encoder().dim


@pytest.mark.parametrize(
    "name",
    [
        "weights.bin",
        "pytorch_model.bin",
        "../other.safetensors",
        "/elsewhere/other.safetensors",
        "sub/other.safetensors",
        "..\\other.safetensors",
        "C:other.safetensors",
        "model.safetensors.bin",
        "",
        7,
    ],
)
@pytest.mark.parametrize("place", ["index", "config"])
def test_weights_that_lie_elsewhere_are_refused_before_they_are_read(
    place, name, sharded, monkeypatch
):
    def fail(*args, **options):
        raise AssertionError("weights were read")

    monkeypatch.setattr("torch.load", fail)
    monkeypatch.setattr("transformers.AutoModel.from_pretrained", fail)
    for other in (sharded.parent, sharded / "sub"):
        other.mkdir(exist_ok=True)
        (other / "other.safetensors").write_bytes(b"")
    torch.save({"a": torch.ones(1)}, sharded / "weights.bin")
    if place == "config":
        change(sharded / "config.json", transformers_weights=name)
    else:
        index = sharded / "model.safetensors.index.json"
        some = json.loads(index.read_text())["weight_map"]
        change(index, weight_map=some | {"pooler.dense.bias": name})
    with pytest.raises(ValueError, match="end in .safetensors, as pickled ones can"):
        Encoder.of(sharded)


def test_an_index_that_is_none_is_refused(sharded):
    index = sharded / "model.safetensors.index.json"
    change(index, weight_map={"a": "absent.safetensors"})
    with pytest.raises(ValueError, match="lacks 'absent.safetensors', which model"):
        Encoder.of(sharded)
    for text in ("[1]", "{", '{"weight_map": 3}', "{}", "[" * 10**5):
        index.write_text(text)
        with pytest.raises(ValueError, match=r"index\.json (holds|cannot|is no index)"):
            Encoder.of(sharded)


def test_damaged_weights_and_adapters_are_refused(tmp_path):
    tiny.folder(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="cannot be read as a transformers model"):
        Encoder.of(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds an adapter, whose model lies elsew"):
        Encoder.of(tmp_path)


def test_incomplete_weights_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny.folder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["encoder.layer.1.output.dense.bias"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lacks 1 weights"):
        Encoder.of(tmp_path)


def test_a_checkpoint_without_a_pooler_has_one_key(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny.folder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    stored = {name: w for name, w in weights.items() if "pooler" not in name}
    save_file(stored, tmp_path / "model.safetensors", {"format": "pt"})
    encoder = Encoder.of(tmp_path, max_length=32)
    assert encoder.key == tiny.encoder().key


def test_a_hub_id_without_network_fails_at_once(monkeypatch, tmp_path):
    import huggingface_hub

    asked = []

    def snapshot(name, **options):
        asked.append(options.get("local_files_only", False))
        raise huggingface_hub.errors.LocalEntryNotFoundError("no network.")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(StorageError, match="pass a local folder or a loaded model"):
        Encoder.of("someone/some-model")
    assert asked == [True, False]  # what is kept first, then the hub, once


def test_a_hub_id_of_no_model(monkeypatch):
    import huggingface_hub

    def snapshot(name, **options):
        raise huggingface_hub.errors.HFValidationError("no such id")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    with pytest.raises(ValueError, match="the hub has no model 'someone/some-model'"):
        Encoder.of("someone/some-model")


def test_what_is_kept_of_the_hub_is_taken_without_asking_it(monkeypatch, tmp_path):
    import huggingface_hub

    tiny.folder(tmp_path)
    asked = []

    def snapshot(name, **options):
        asked.append((name, options.get("local_files_only", False)))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    encoder = Encoder.of("someone/some-model", max_length=32)
    assert encoder.key == tiny.encoder().key
    assert set(asked) == {("someone/some-model", True)}
    (tmp_path / "config.json").unlink()  # a download that was cut short
    with pytest.raises(ValueError, match="config.json is missing"):
        Encoder.of("someone/some-model")
    assert asked[-1] == ("someone/some-model", False)


@pytest.mark.parametrize("path", ["./nowhere", "/no/where", "a/b/c"])
def test_a_folder_that_is_not_there(path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        Encoder.of(path)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"pooling": "max"}, "'mean' or 'cls'"),
        ({"max_length": 65}, "between 4 and the model's 64 tokens"),
        ({"max_length": 3}, "between 4"),
        ({"batch": 0}, "batch must be 1 or more"),
    ],
)
def test_settings_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        tiny.encoder(**options)


@pytest.mark.parametrize("model", [7, torch.nn.Linear(2, 2, device="meta")])
def test_what_is_no_model(model):
    with pytest.raises(TypeError, match="PreTrainedModel"):
        Encoder.of(model)


def test_what_is_no_text(encoder):
    with pytest.raises(TypeError, match="list or tuple"):
        encoder.encode("a film")
    with pytest.raises(TypeError, match="number 1 is a NoneType"):
        encoder.encode(["a", None])
    with pytest.raises(ValueError, match="2 texts have 1 second"):
        encoder.encode(["a", "b"], ["c"])


def test_features_that_are_not_finite_are_refused():
    model = tiny.model()
    film = tiny.VOCABULARY.index("film")
    model.embeddings.word_embeddings.weight.data[film] = torch.nan
    encoder = Encoder.of(model, tiny.tokenizer(), max_length=32)
    with pytest.raises(ValueError, match="1 of 2 texts.*number 1"):
        encoder.encode(["a dog", "a film"])


@pytest.mark.parametrize("shape", [(2, 5, 31), (2, 32), (2, 65, 32)])
def test_vectors_of_another_shape(encoder, shape):
    with pytest.raises(ValueError, match="(token vectors must be|takes at most 64)"):
        encoder.through(torch.zeros(shape), torch.ones(shape[:2]))


def test_a_model_without_a_way_in_for_vectors_is_refused(monkeypatch):
    model = tiny.model()
    monkeypatch.setattr(type(model), "forward", lambda self, input_ids: None)
    encoder = Encoder.of(model, tiny.tokenizer(), max_length=32)
    with pytest.raises(ValueError, match="BertModel takes no inputs_embeds; use anoth"):
        encoder.through(torch.zeros(1, 5, 32), torch.ones(1, 5))


def test_a_model_that_keeps_its_attention_is_refused(monkeypatch):
    model = tiny.model()
    monkeypatch.setattr(type(model), "set_attn_implementation", lambda *_: None)
    encoder = Encoder.of(model, tiny.tokenizer(), max_length=32)
    with pytest.raises(ValueError, match="keeps its 'sdpa' attention.*upgrade"):
        encoder.through(torch.zeros(1, 5, 32), torch.ones(1, 5), eager=True)
