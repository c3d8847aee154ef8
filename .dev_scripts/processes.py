"""Several runs at a time, each in a process of its own."""

import multiprocessing
from multiprocessing.connection import wait


def side_by_side(function, tasks, jobs):
    """Yield each task with what the function returns of it, as they end.

    The processes are forked, so that everything is imported once, and by the main thread: a pool
    forks by another one, and its child may wait for ever for a lock that was held at that moment.

    Args:
        function (Callable): Of one task; its result is pickled.
        tasks (Iterable): In this order.
        jobs (int): How many at a time.

    Raises:
        RuntimeError: If a process failed; its traceback is on stderr, the others are stopped.
    """
    context = multiprocessing.get_context('fork')
    waiting, running = list(tasks), {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                results, sender = context.Pipe(duplex=False)
                process = context.Process(target=_send, args=(function, task, sender), daemon=True)
                process.start()
                sender.close()  # so that the end of the process is the end of the pipe
                running[results] = task, process
            for results in wait(list(running)):
                task, process = running.pop(results)
                try:
                    found = results.recv()
                except EOFError:
                    process.join()
                    raise RuntimeError(f'{task} ended with exit code {process.exitcode}.') from None
                process.join()
                yield task, found
    finally:
        for _, process in running.values():
            process.terminate()


def _send(function, task, sender):
    sender.send(function(task))
