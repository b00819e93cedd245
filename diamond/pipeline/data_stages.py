"""The stages that record real frames: references and frames."""

import json

from diamond.config.run import EmulatorConfig, FramesConfig, ReferencesConfig, ViewConfig
from diamond.data.collect import collect_frames, collect_references
from diamond.data.references import save_references
from diamond.envs.atari import AtariEnv
from diamond.pipeline.context import StageContext
from diamond.pipeline.outputs import ACTIONS_FILE
from diamond.pipeline.store import StageResult


def make_references(context: StageContext) -> StageResult:
    """Record held-out episodes; writes episodes.json, native.npy and action_codes.json."""
    context.resume()
    game = context.config["game"]
    emulator = EmulatorConfig.model_validate(context.config["emulator"])
    config = ReferencesConfig.model_validate(context.config["references"])

    def progress(done: int, total: int) -> None:
        context.progress(done, total, "held-out episodes")

    save_references(
        collect_references(game, emulator, config, context.seed, progress), context.folder
    )
    _save_actions(context, game, emulator)
    return context.result()


def make_frames(context: StageContext) -> StageResult:
    """Record the training set; writes the files of `FrameSet` and action_codes.json."""
    context.resume()
    game = context.config["game"]
    emulator = EmulatorConfig.model_validate(context.config["emulator"])
    view = ViewConfig.model_validate(context.config["view"])
    config = FramesConfig.model_validate(context.config["frames"])

    def progress(done: int, total: int) -> None:
        context.progress(done, total, "frames")

    collect_frames(game, emulator, view, config, context.seed, progress).save(context.folder)
    _save_actions(context, game, emulator)
    return context.result()


def _save_actions(context: StageContext, game: str, emulator: EmulatorConfig) -> None:
    codes = AtariEnv(game, emulator).action_codes
    (context.folder / ACTIONS_FILE).write_text(json.dumps(list(codes)) + "\n")
