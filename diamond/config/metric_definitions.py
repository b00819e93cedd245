"""What each metric is in one sentence, and where the documentation says all of it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """One sentence about a metric, and the heading of `docs/metrics.md` that has the rest."""

    text: str
    heading: str


_UNDER: Mapping[str, Mapping[str, str]] = {
    "PSNR": {
        "psnr": "How small the squared error of the whole frame is, in decibels; it favours blur.",
        "psnr_fg": "PSNR where the real frame shows something that moves.",
    },
    "SSIM": {
        "ssim": "How alike brightness, contrast and structure are in small windows.",
        "ssim_fg": "SSIM where the real frame shows something that moves.",
    },
    "MS-SSIM": {
        "ms_ssim": "SSIM over three scales, each half of the one before.",
        "ms_ssim_fg": "MS-SSIM where the real frame shows something that moves.",
    },
    "LPIPS": {"lpips": "How far apart two frames are for a network trained on photographs."},
    "L1 drift": {
        "l1": "Mean absolute difference to the real frame; 1 is black against white.",
        "l1_fg": "L1 drift where the real frame shows something that moves.",
    },
    "MSE": {
        "mse": "Mean squared difference to the real frame.",
        "mse_fg": "MSE where the real frame shows something that moves.",
    },
    "Colour shift": {"colour_shift": "How far apart the mean colours of both frames are."},
    "Skill": {
        "skill_copy_l1": "Share of the L1 of a still picture that is saved; below 0 it is worse.",
        "skill_copy_mse": "Share of the MSE of a still picture that is saved; below 0 it is worse.",
        "skill_background_l1": "Share of the L1 of the empty background that is saved.",
        "skill_background_mse": "Share of the MSE of the empty background that is saved.",
    },
    "Frames better than a baseline": {
        "beats_copy": "Share of frames that are nearer to the real one than a still picture is.",
        "beats_background": "Share of frames that are nearer to the real one than the background.",
    },
    "Foreground IoU": {
        "foreground_iou": "Overlap of the moving things in the imagined and in the real frame."
    },
    "Objects": {
        "object_precision": "Share of the imagined objects that are near a real one.",
        "object_recall": "Share of the real objects that have an imagined one near them.",
        "object_count_error": "By how many objects the imagined frame is off.",
        "object_centroid_error": "How far the objects that were found are from the real ones.",
    },
    "Cells": {
        "cell_accuracy": "Share of the cells of the game that show the right thing.",
        "cell_accuracy_changed": "Share of the cells that just changed that show the right thing.",
        "cell_accuracy_events": "Share of the changed cells that are right at rewards and at ends.",
    },
    "Core ratio": {"core_ratio": "How much of each object is solid and not faint: its sharpness."},
    "Energy score": {
        "energy_score": "How good several imagined futures are together as a forecast."
    },
    "Delta PSNR": {
        "delta_psnr": "What PSNR loses when the model gets other actions; 0 ignores actions.",
        "delta_psnr_true": "Whether other actions change frames as they do in the real game.",
        "delta_psnr_changed": "Delta PSNR on the pixels that other actions really change.",
    },
    "Actions": {
        "action_accuracy": "How often a judge reads the action that was taken off the frames.",
        "action_balanced_accuracy": "How well a judge reads each action off the frames.",
        "action_r2": "How well a judge reads the numbers of a continuous action off the frames.",
    },
    "Rewards and ends": {
        "reward_f1": "How well rewards are told from imagined frames, over all rewards.",
        "reward_recall_negative": "Share of the real rewards of -1 that are told.",
        "reward_recall_zero": "Share of the steps without a reward that are told so.",
        "reward_recall_positive": "Share of the real rewards of +1 that are told.",
        "reward_precision_negative": "Share of the told rewards of -1 that are real.",
        "reward_precision_zero": "Share of the steps told to have no reward that have none.",
        "reward_precision_positive": "Share of the told rewards of +1 that are real.",
        "reward_timing_error": "How many steps a told reward is early or late.",
        "reward_sum_error": "How far the sum of the told rewards is from the real sum.",
        "return_rank_correlation": "Whether starts with a high real return have a high told one.",
        "reward_rate": "Chance of a reward at a time step, as told from imagined frames.",
        "reward_rate_drawn": "Share of the steps at which a reward is drawn in imagination.",
        "reward_rate_ratio": "Imagined rewards over real ones; 1 is right, 0 gives none.",
        "end_auroc": "How well real ends are told from other steps; one half is chance.",
        "end_brier": "Squared error of the chance of an end.",
    },
    "Events": {
        "event_recall": "Share of the real rewards and ends that are drawn one step ahead.",
        "event_recall_rewards": "Share of the real rewards that are drawn one step ahead.",
        "event_recall_ends": "Share of the real ends that are drawn one step ahead.",
        "event_recall_4": "Share of rewards and ends drawn four steps ahead, at most one off.",
        "event_false_alarm": "Share of other steps at which a reward or an end is drawn.",
        "event_frames_exact": "Share of the drawn event frames with every cell right.",
    },
    "Policy": {
        "policy_entropy": "How undecided the policy is; 1 is as random as chance.",
        "imagined_return": "What the policy earns in its own world model.",
        "real_return": "What the policy earns in the real game from the same starts.",
        "imagination_gap": "What the policy earns in imagination beyond what the game gives.",
        "kl_policy": "How differently the policy acts on imagined and on real frames.",
        "value_error": "How differently the policy values imagined and real frames.",
        "greedy_agreement": "How often the most likely action is the same on both.",
    },
    "Distance of distributions": {
        "fd_inverse_dynamics": "How far all imagined frames are from all real ones for a judge."
    },
    "High-frequency energy ratio": {
        "hf_ratio": "Fine detail over that of the real frames: below 1 blurred, above 1 noisy."
    },
    "Frozen frames": {
        "frozen": "Share of frames that equal the one before: how often nothing moves.",
        "psnr_frozen": "PSNR where the real game stands still.",
        "psnr_moving": "PSNR where the real game moves.",
        "l1_frozen": "L1 drift where the real game stands still.",
        "l1_moving": "L1 drift where the real game moves.",
    },
    "Distance to the nearest real frame": {
        "nearest_l1": "L1 to the most alike of all real frames: does it look like the game?"
    },
    "Scores on Atari 100k": {"return": "Mean return of the policy in the real game."},
}

DEFINITIONS: Mapping[str, Definition] = {
    name: Definition(text, heading)
    for heading, texts in _UNDER.items()
    for name, text in texts.items()
}
"""By the name of the metric; a user's own has none."""
