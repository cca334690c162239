from __future__ import annotations

import errno
import logging
import os

from recbole_lecdsr.compat import aids
from recbole_lecdsr.config import LeCDSRConfig


def test_a_log_file_that_cannot_be_written_is_given_up_with_a_warning(pair, tmp_path, capsys):
    (tmp_path / "log").write_text("a file where the folder should be")
    root = logging.getLogger()
    handlers = root.handlers[:]
    root.handlers.clear()
    try:
        aids.init_logger(LeCDSRConfig("LeCDSR", config_dict=pair, command_line=[]))
        logging.getLogger("some.part").info("first")
        logging.getLogger("some.part").info("second")
    finally:
        root.handlers[:] = handlers
    printed = capsys.readouterr().err
    assert "first" in printed and "second" in printed
    assert printed.count("the run goes on without it") == 1
    assert "Traceback" not in printed


def test_events_on_a_full_disk_are_given_up_with_a_warning(tmp_path, caplog, monkeypatch, capfd):
    writer = aids.EventWriter(tmp_path)
    writer.add_scalar("loss", 1.0, 0)
    writer.flush()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tensorboard.summary.writer.record_writer.RecordWriter.write", full)
    for step in range(3):
        writer.add_scalar("loss", 1.0, step)
        writer.flush()
    writer.close()
    assert caplog.text.count("the run goes on without them") == 1
    assert "Traceback" not in capfd.readouterr().err
