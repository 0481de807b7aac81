"""A simulated FileMaker Server: its Data API, its containers, its OData, over HTTPS and HTTP. See README.md.

No FileMaker can run here. What this server does is what is documented and what was recorded of real ones; where two
accounts contradict each other there is an option, and both are tested.
"""

from fm_migration_tests.filemaker_server.process import ServerProcess, server_process
from fm_migration_tests.filemaker_server.server import FileMakerServer
from fm_migration_tests.filemaker_server.settings import CONTAINERS, ServerSettings
from fm_migration_tests.filemaker_server.storms import Storm

__all__ = ["CONTAINERS", "FileMakerServer", "ServerProcess", "ServerSettings", "Storm", "server_process"]
