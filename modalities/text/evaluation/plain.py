"""Plain trainings of texts: logistic regression on embeddings and on TF-IDF."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["PLAIN", "tfidf_classes"]

PLAIN = {
    "logistic": "logistic regression on embeddings, hard labels",
    "tfidf": "logistic regression on TF-IDF of the words, hard labels",
}
"""What a stranger trains, by name."""

INVERSE_PENALTY = 10.0


def tfidf_classes(
    texts: Sequence[str],
    labels: Tensor,
    weight: Tensor,
    tested: Sequence[str],
) -> Tensor:
    """Classes of test texts, by logistic regression on TF-IDF of words.

    Args:
        texts: m training texts.
        labels: `[m]`.
        weight: `[m]`.
        tested: b test texts.

    Returns:
        `[b]`; the only class where there is one, or no word at all.

    Example:
        >>> y, weight = torch.tensor([1, 0]), torch.ones(2)
        >>> tfidf_classes(["so good", "so bad"], y, weight, ["bad"]).tolist()
        [0]
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # loads slowly
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
    first = labels.mode().values
    try:
        features = vectorizer.fit_transform(texts)
    except ValueError:  # no text has a word
        return first.expand(len(tested))
    if len(labels.unique()) == 1:
        return first.expand(len(tested))
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000)
    model.fit(features, labels.numpy(), sample_weight=weight.numpy())
    return torch.from_numpy(model.predict(vectorizer.transform(tested)))
