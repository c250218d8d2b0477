"""A plain `transformers.Trainer`, which leaves no trace in global generators."""

import random
from pathlib import Path
from typing import Any

import numpy
import torch

from multidd.text import collator, soft_label_loss
from tests.text import tiny


def losses(table: Any, folder: Path, steps: int, lr: float) -> list[float]:
    """Of each step of a tiny model with three classes on a dataset."""
    from transformers import Trainer, TrainingArguments

    model = tiny.model(kind="BertForSequenceClassification", num_labels=3)
    settings = {"report_to": "none", "disable_tqdm": True, "save_strategy": "no"}
    settings |= {"use_cpu": True, "remove_unused_columns": False, "logging_steps": 1}
    before = random.getstate(), numpy.random.get_state()
    with torch.random.fork_rng(devices=[]):
        arguments = TrainingArguments(
            str(folder),
            max_steps=steps,
            learning_rate=lr,
            per_device_train_batch_size=12,
            **settings,
        )
        trainer = Trainer(
            model,
            arguments,
            train_dataset=table,
            data_collator=collator(tiny.tokenizer(), classes=3),
            compute_loss_func=soft_label_loss,
        )
        trainer.train()
    random.setstate(before[0])
    numpy.random.set_state(before[1])
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]
