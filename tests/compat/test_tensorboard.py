from __future__ import annotations

import errno
import os

from recbole_lecdsr.compat import tensorboard


def test_events_on_a_full_disk_are_given_up_with_a_warning(tmp_path, caplog, monkeypatch, capfd):
    writer = tensorboard.EventWriter(tmp_path)
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
