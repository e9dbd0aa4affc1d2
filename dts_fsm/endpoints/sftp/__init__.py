"""SFTP: folders of servers that are reached over SSH."""

from dts_fsm.endpoints.sftp.endpoint import SftpEndpoint

__all__ = ["SftpEndpoint"]
