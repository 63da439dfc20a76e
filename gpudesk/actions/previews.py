"""Every preview, in one place: what an action would do, said before anything moves.

All of them are pure functions of a desk and a wish. What is not available comes back as a preview with a refusal;
a wish that is fulfilled already as one without steps. `UsageError` is left to `lookup`, which finds what is meant.
"""

from __future__ import annotations

from gpudesk.actions.keeping import keep as keep
from gpudesk.actions.keeping import pin as pin
from gpudesk.actions.keeping import unpin as unpin
from gpudesk.actions.leaving import free as free
from gpudesk.actions.leaving import unload as unload
from gpudesk.actions.loading import load as load
from gpudesk.actions.loading import swap as swap
from gpudesk.actions.stored_models import delete as delete
from gpudesk.actions.stored_models import derive as derive
from gpudesk.actions.stored_models import pull as pull
from gpudesk.actions.working_sets import apply as apply
from gpudesk.actions.working_sets import arrange as arrange
from gpudesk.actions.working_sets import present_set as present_set
from gpudesk.actions.working_sets import restore as restore
