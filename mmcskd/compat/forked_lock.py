import os
import threading


def bridge_forked_lock() -> None:
    """Give a forked process a lock of its own for MMEngine's global instances.

    Symptom: a process that a thread forked, as those of a pool that are replaced, waits for ever
    in ``ManagerMixin.get_instance``.
    Cause: the lock is held in the parent, by another thread or since a constructor failed in it.
    Applies: where processes are forked.
    """
    from mmengine.utils import manager

    def renew():
        manager._lock = threading.RLock()

    if hasattr(os, 'register_at_fork') and not hasattr(manager, '_renewed'):
        os.register_at_fork(after_in_child=renew)
        manager._renewed = True
