"""Failures that end a command, each with the exit status that it stands for."""


class MixditError(Exception):
    """A failure that is told to the user in one line."""

    exit_status = 3


class CheckError(MixditError):
    """Something was computed and found wrong: hardware and golden model differ, or the hardware hangs."""

    exit_status = 1


class InputError(MixditError, ValueError):
    """Wrong usage or a bad input file; the text names the option, file or number at fault."""

    exit_status = 2


class ToolError(MixditError):
    """A tool is missing, failed or was killed."""

    exit_status = 3


class OutputError(MixditError):
    """An output cannot be written."""

    exit_status = 3


class DeviceError(MixditError):
    """An accelerator is not what was expected, or does not answer."""

    exit_status = 3


class JobFault(DeviceError):
    """A job stopped with a fault.

    Parameters
    ----------
    name
        Of the fault, as in `mixdit_hw.job.Fault`.
    code
        Its number.
    tag
        Of the job.
    """

    def __init__(self, name: str, code: int, tag: int) -> None:
        super().__init__(f"job {tag} stopped with fault {code}, {name}")
        self.name = name
        self.code = code
        self.tag = tag
