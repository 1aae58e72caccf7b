"""The loop over the steps of a training, and the choice of the steps that end with validation."""

import keras
import numpy as np

from examples.training.errors import UserError


def run_steps(step, batches, done, last, end, save_every, report, advice):
    """Train with the batches that are left to do.

    Args:
        step: a function that trains with a batch and returns its loss.
        batches: an iterable.
        done: how many steps of the run were done before.
        last: the number of the last batch's step.
        end: the number of the run's last step.
        save_every: `report` is called every so many steps, and after the last batch.
        report: a function of a step's number and the mean loss since the last report.
        advice: what to try if the loss is not finite.
    """
    bar = keras.utils.Progbar(end, stateful_metrics=["loss"])
    losses = []
    for number, batch in enumerate(batches, start=done + 1):
        losses.append(step(batch))
        if number % save_every == 0 or number == last:
            loss = _mean(losses, number, advice)
            report(number, loss)
            losses.clear()
            bar.update(number, [("loss", loss)])
        elif number % 10 == 0:  # reading the loss makes a GPU wait
            bar.update(number, [("loss", float(losses[-1]))])


def _mean(losses, step, advice):
    """The mean of the losses up to `step`, which must be finite."""
    loss = float(np.mean([float(value) for value in losses]))
    if not np.isfinite(loss):
        raise UserError(
            f"The loss is {loss} before step {step}; what was saved is from before that. {advice}"
        )
    return loss


def steps_left(step, last):
    """A text that says which steps a run at `step` has left."""
    return f"steps {step + 1} to {last}" if step < last else f"all {last} steps are done"


def check_validation(args):
    """Raise a UserError unless the network is measured where a row of the log is written."""
    if args.validate_every and args.validation is None:
        raise UserError("--validate-every needs --validation, the split to measure on")
    if args.validate_every and args.validate_every % args.save_every:
        raise UserError(
            f"--validate-every {args.validate_every} must be a multiple of "
            f"--save-every {args.save_every}"
        )


def is_validated(args, step, last):
    """Whether the network is measured at this step: every `--validate-every`, and at the end."""
    every = args.validate_every or last
    return args.validation is not None and (step % every == 0 or step == last)
