"""A tiny BERT with a WordPiece tokenizer of a word list: nothing is downloaded."""

from pathlib import Path
from typing import Any

import torch

from multidd.text.models.encoder import Encoder

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]")
_TOPICS = """
a an the of in on at to and or is was are not it this that for with by as be what who
where when how why which many much far long did does do can has have had movie film
plot actor scene story music good bad great poor dull fine funny sad boring moving
loved hated city river country mountain sea north south east west capital town road
year day month time number count sum half double zero one two three four five six ten
hundred thousand king queen president author poet singer player doctor teacher man
woman child dog cat bird horse fish tree flower fruit apple bread milk water fire wind
rain snow sun moon star sky blue red green black white call text now free win prize
cash claim phone mobile home work later sorry ok love you me we i he she they ? ! . ,
"""
PIECES = ("##s", "##ed", "##ing", "##er", "##ly", *(f"##{c}" for c in "aeioudnt"))
WORDS = tuple(dict.fromkeys(_TOPICS.split()))
LETTERS = tuple(c for c in "bcdefghjklmnopqrstuvwxyz" if c not in WORDS)
VOCABULARY = (*SPECIAL, *WORDS, *LETTERS, *PIECES)

TEXTS = (
    "what is the capital of the country ?",
    "a good film",
    "how many dogs are in the city",
    "the story was dull , boring and sad . not a fine film !",
    "who",
    "call now and win a free mobile phone",
)


def tokenizer(words: tuple[str, ...] = VOCABULARY, **options: Any) -> Any:
    """A fast tokenizer in the manner of BERT."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(words)}
    result = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    result.normalizer = normalizers.BertNormalizer(lowercase=True)
    result.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    result.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    named = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]"}
    named |= {"sep": "[SEP]", "mask": "[MASK]"}
    tokens = {f"{name}_token": token for name, token in named.items()}
    settings = {"model_max_length": 64, **tokens, **options}
    return PreTrainedTokenizerFast(tokenizer_object=result, **settings)


def model(seed: int = 0, kind: str = "BertModel", **config: Any) -> Any:
    """A model with random weights; the global generator stays as it is."""
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 64, "max_position_embeddings": 64}
    settings = {"vocab_size": len(VOCABULARY), **sizes, "initializer_range": 0.2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model_class = getattr(transformers, kind)
        return model_class(model_class.config_class(**(settings | config)))


def encoder(seed: int = 0, **options: Any) -> Encoder:
    """An encoder of the tiny model."""
    settings = {"max_length": 32} | options
    return Encoder.of(model(seed), tokenizer(), **settings)


def folder(path: Path, seed: int = 0) -> Path:
    """The tiny model and its tokenizer, saved."""
    model(seed).save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


def long_folder(path: Path) -> Path:
    """One that takes texts of 512 tokens."""
    model(max_position_embeddings=512, num_hidden_layers=1).save_pretrained(path)
    tokenizer(model_max_length=512).save_pretrained(path)
    return path
