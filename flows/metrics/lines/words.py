"""What a name is: a metric, a setting, an axis, a count of resources, or nobody knows."""

import re
from enum import Enum
from functools import lru_cache


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


class Sort(Enum):
    """What a name stands for, as far as its words tell."""

    METRIC = "metric"
    SETTING = "setting"
    AXIS = "axis"
    RESOURCE = "resource"
    OTHER = "other"


SPLITS = {
    "train": "train",
    "training": "train",
    "tr": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validating": "val",
    "eval": "val",
    "evaluation": "val",
    "evaluating": "val",
    "evaluate": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "holdout": "test",
}
"""The words for the part of the data that a value is of, and what each means."""

AXES = {
    "step": "step",
    "steps": "step",
    "global_step": "step",
    "globalstep": "step",
    "gstep": "step",
    "iter": "step",
    "iters": "step",
    "iteration": "step",
    "iterations": "step",
    "it": "step",
    "update": "step",
    "updates": "step",
    "num_updates": "step",
    "batch": "step",
    "total_timesteps": "step",
    "timestep": "step",
    "timesteps": "step",
    "round": "step",
    "trial": "step",
    "generation": "step",
    "episode": "step",
    "frame": "step",
    "_step": "step",
    "trainer/global_step": "step",
    "training_iteration": "step",
    "epoch": "epoch",
    "epochs": "epoch",
    "ep": "epoch",
    "trainer/epoch": "epoch",
}
"""The names that tell where in the run a line stands, and which axis each is."""

_METRICS = word_set("""
    loss losses acc accuracy accuracies f1 fbeta auc auroc roc auprc prauc ap map map50 map75 ar
    ap50 ap75
    precision recall specificity sensitivity bleu sacrebleu rouge rouge1 rouge2 rougel rougelsum
    meteor chrf ter cer wer ppl perplexity bpb bpc bpd nll mse rmse mae mape smape rmsle r2 error
    errors err iou miou dice psnr ssim lpips fid kid inception reward rewards rew return returns
    score scores top1 top3 top5 kappa mcc spearman pearson correlation corr elbo kl likelihood
    loglikelihood logloss rmses em mrr ndcg hits gain regret entropy brier ece nmi ari chamfer
    fitness objective bce ce mle crps pesq stoi sdr sisdr snr mcd eer mindcf hter ate rpe mpjpe
    pck epe win winrate success silhouette jaccard hausdorff residual divergence cosine gap
    logprob reconstruction recon distance mrcnn qed validity novelty uniqueness passk pass1 pass10
    gleu cider spice bertscore mauve winrates wins elo balanced macro micro hinge rmsd tm gdt
    pinball quantile mase wape abs_rel absrel delta1 fps_score goodput ep_rew_mean ep_len_mean
""")
_SETTING_NAMES = word_set("""
    lr seed port rank world_size local_rank node_rank nnodes nproc pid gpu gpus device devices
    batch_size bs bsz epochs max_epochs num_epochs n_epochs max_steps total_steps num_steps warmup
    warmup_steps warmup_ratio workers num_workers n_workers dropout momentum nesterov gamma beta
    beta1 beta2 beta_1 beta_2 eps epsilon alpha tau lambda temperature top_k top_p wd weight_decay
    clip grad_clip max_grad_norm depth width hidden layers heads dim dims channels kernel stride
    padding patience tolerance tol vocab version verbose year day month id idx index v_num n_layer
    n_head n_embd block_size threads cpu cpus ram timeout retries rev revision job params
    parameters precision_bits bits num_samples n_samples max_iter n_iter n_estimators max_depth
    min_lr max_lr base_lr lr_decay decay optimizer scheduler accum ratio p q k n m fold folds
    n_splits split count total mean std data support classes num_classes instances images samples
    size shape ci
""")
_SETTING_TAILS = word_set("""
    lr seed port size sizes dim dims steps step epochs iters iterations interval every workers
    layers heads channels units decay momentum dropout patience length len width height depth
    warmup beta beta1 beta2 eps epsilon freq frequency limit max_len seq_len count samples
    examples classes fraction split ratio threshold version tokens params parameters batches batch
    batchsize size0 support threads gpus devices id idx rank norm_clip clip temperature estimators
""")
_SETTING_HEADS = word_set("num n max use early no config cfg args target goal")
_RESOURCE_TOKENS = word_set("""
    time seconds secs sec ms minutes hours runtime duration elapsed eta mb gb gib mib kb bytes
    memory mem vram ram gpu_mem it/s throughput fps mfu latency speed second flos flops took dt dur
    timestamp wall created started
""")
MODIFIERS = word_set("""
    final best last average avg mean median min max total overall current epoch set mini top
    running smoothed global weighted cross binary squared absolute root log negative
    lm mlm aux d g gen disc generator discriminator policy actor critic cls reg adv value vf
""")
"""Words that may stand in a name of several words beside those for metrics and splits."""
_DATA = frozenset(["set", "sets", "data", "dataset", "size", "on", "of"])
_RATES = frozenset(
    {"learning", "dropout", "decay", "sampling", "sample", "drop", "frame", "refresh"}
)
_TOKEN = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+")


@lru_cache(maxsize=8192)
def tokens(name: str) -> tuple[str, ...]:
    """The words of a name: `val/topAcc@1` gives val, top, acc, 1."""
    return tuple(found.lower() for found in _TOKEN.findall(name.replace("mAP", "map")))


@lru_cache(maxsize=8192)
def sort_of(name: str) -> Sort:
    """What a name stands for."""
    lower = name.lower().strip()
    plain = re.sub(r"[\s-]+", "_", lower)
    if plain in AXES:
        return Sort.AXIS
    if plain in _SETTING_NAMES:
        return Sort.SETTING
    words = tokens(name)
    if not words:
        return Sort.OTHER
    if _is_setting(words, plain):
        return Sort.SETTING
    if any(one in _RESOURCE_TOKENS for one in words) and "loss" not in words:
        return Sort.RESOURCE
    if plain in _METRICS or any(one in _METRICS for one in words):
        return Sort.METRIC
    measured = [one for one in words if one not in SPLITS and one not in _DATA]
    return Sort.METRIC if measured and len(measured) < len(words) else Sort.OTHER


def _is_setting(words: tuple[str, ...], plain: str) -> bool:
    tail = words[-1]
    if tail == "rate" and len(words) > 1:
        return words[-2] in _RATES
    is_measured = any(one in _METRICS for one in words)
    if words[0] in _SETTING_HEADS and not (words[0] == "max" and is_measured):
        return True
    if tail in ("epoch", "iteration", "iter", "step") and len(words) > 1 and not is_measured:
        # `bestIteration`: where the best was, not how good it was.
        return True
    if words[0] == "lr" or tail == "lr" or "learning_rate" in plain:
        return True
    if tail in ("weight", "coef", "coeff", "lambda", "scale", "smoothing", "margin", "eps"):
        # A loss's weight is set, not measured.
        return True
    return tail in _SETTING_TAILS and not (tail in ("len", "length") and "mean" in words)


def is_clock(name: str) -> bool:
    """Whether a name is one of the times that stand beside metrics: 'Time', 'data_time'."""
    return tokens(name)[-1:] == ("time",)


@lru_cache(maxsize=8192)
def is_phrase_word(word: str) -> bool:
    """Whether a word may stand in a metric's name of several words, as in 'Final test accuracy'."""
    lower = word.lower()
    if lower in SPLITS or lower in MODIFIERS or lower in _METRICS:
        return True
    words = tokens(word)
    return bool(words) and all(
        one in _METRICS or one in SPLITS or one in MODIFIERS or one.isdigit() for one in words
    )


@lru_cache(maxsize=8192)
def is_metric_word(word: str) -> bool:
    """Whether a single word names a metric by itself: 'loss', 'Acc@1', but not 'val'."""
    return sort_of(word) is Sort.METRIC and any(one in _METRICS for one in tokens(word))
