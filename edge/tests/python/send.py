"""Sends a message with the generated client, and prints what was answered as JSON.

Arguments: base URL, secret, mesh id, and the message as JSON.
"""

import json
import sys

from skein_client import AuthenticatedClient
from skein_client.api.messages import list_messages, send_message
from skein_client.models import NewMessage

base, secret, mesh, message = sys.argv[1:]
with AuthenticatedClient(base_url=base, token=secret, raise_on_unexpected_status=True) as client:
    new = NewMessage.from_dict(json.loads(message))
    sent = send_message.sync(client=client, mesh_id=mesh, body=new)
    history = list_messages.sync(client=client, mesh_id=mesh)
print(json.dumps({"sent": sent.to_dict(), "history": history.to_dict()}))
