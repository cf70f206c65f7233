"""How assets fail: one sentence for what a person can mend, and another attempt for what passes by itself.

Three kinds, told apart by type. Transient (TransientError, or a transaction that met another one): the step begins anew in a
while. Permanent (every other error with a sentence): it fails at once. A defect of ours, such as a TypeError: it fails at once
too, with its traceback, because a bug is not transient. A day's quota that is spent is none of them and raises nothing.

Steps have no `retry_policy` of Dagster's, on purpose. Dagster 1.13 applies one to whatever ends a step, so that a bug is run
again three times, and so is a step that somebody stopped by Ctrl-C or by Terminate. How often and when is said once, in
build.py, and every asset carries it in its metadata.
"""

import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager

import dagster as dg

from thumbrank_core.errors import TransientError

RETRIES = dg.RetryPolicy(max_retries=3, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""Waits about 30, 90 and 210 seconds: together longer than most hiccups, and too short to cost a month anything."""

MOST, DELAY = "thumbrank/retries", "thumbrank/retry_delay_s"


def with_retries(policy: dg.RetryPolicy) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
    """What gives every asset the policy; its backoff and jitter are those of RETRIES."""

    def give(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.merge_attributes(metadata={MOST: policy.max_retries, DELAY: float(policy.delay or 0)})

    return give


@contextmanager
def one_sentence() -> Generator[None]:
    """Show an error that has a sentence as that sentence; begin the step anew where the error may pass by itself.

    Raises:
        dagster.RetryRequested: it may pass, and an attempt is left.
        dagster.Failure: with the sentence; `allow_retries` says whether it may pass.
    """
    from thumbrank_core.explain import explain

    try:
        yield
    except (dg.Failure, dg.RetryRequested, dg.DagsterError):
        raise
    except Exception as error:
        sentence = explain(error)
        if sentence is None:  # a defect keeps its traceback
            raise
        passing = _may_pass(error)
        if passing:
            try_again(sentence)
        # Beside the sentence and behind a click, for as a cause it is printed as well, sixty lines of it.
        whole = dg.MetadataValue.md(f"```\n{''.join(traceback.format_exception(error))}```")
        raise dg.Failure(description=sentence, metadata={"traceback": whole}, allow_retries=passing) from None


def try_again(why: str) -> None:
    """End this attempt and begin the step anew in a while; returns where no attempt is left.

    Raises:
        dagster.RetryRequested: after the wait.
    """
    from thumbrank_core.progress import say

    context = dg.OpExecutionContext.get()
    policy = _policy(context)
    if context.retry_number >= policy.max_retries:
        return
    wait = max(0.0, policy.calculate_delay(context.retry_number + 1))
    say(f"{why} Attempt {context.retry_number + 1} of {policy.max_retries + 1}; the next one in {wait:.0f} s.")
    # Waited here and not by Dagster, whose wait hears neither Ctrl-C nor Terminate before it is over.
    time.sleep(wait)
    raise dg.RetryRequested(max_retries=policy.max_retries, seconds_to_wait=0) from dg.Failure(why)


def _policy(context: dg.OpExecutionContext) -> dg.RetryPolicy:
    said = context.assets_def.metadata_by_key[context.asset_key] if context.has_assets_def else {}
    return RETRIES._replace(max_retries=int(said.get(MOST, 0)), delay=float(said.get(DELAY, 0)))


def _may_pass(error: Exception) -> bool:
    from thumbrank_core.store.errors import TRY_AGAIN

    return isinstance(error, (TransientError, *TRY_AGAIN))
