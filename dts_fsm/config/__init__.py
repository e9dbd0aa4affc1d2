"""The configuration: records that can be made in memory, or read from a YAML file in DTS's form."""

from dts_fsm.config.configuration import Config
from dts_fsm.config.places import Credential, DatabaseConfig, EndpointConfig
from dts_fsm.config.redaction import Redactor
from dts_fsm.config.secret import Secret
from dts_fsm.config.service import ServiceConfig

__all__ = ["Config", "Credential", "DatabaseConfig", "EndpointConfig", "Redactor", "Secret", "ServiceConfig"]
