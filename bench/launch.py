"""Runs one command and reports what it cost; harness.py starts it as a process of its own, once per measurement.

It exists for the sake of peak memory. A process that starts another hands its own peak on to it: Linux takes the
memory of before the exec into the new program's `ru_maxrss`. Started from a benchmark that holds a gigabyte, even
`true` would seem to need one. Started from this small process, the floor is what a bare Python needs, about 10 MB.

Belongs here: nothing but the standard library's smallest parts, because each import raises that floor.
Called as `python -I -S launch.py REPORT_FD COMMAND ...`; it reports wall nanoseconds, user and system seconds, peak
bytes and the exit code in one line, or a sentence that begins with "cannot".
"""

import os
import sys
import time


def main() -> None:
    report, command = int(sys.argv[1]), sys.argv[2:]
    os.set_inheritable(report, False)
    started = time.perf_counter_ns()
    try:
        child = os.posix_spawnp(command[0], command, os.environ)
    except OSError as error:
        os.write(report, f"cannot start: {error.strerror}".encode())
        return
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter_ns() - started
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    code = os.waitstatus_to_exitcode(status)
    os.write(report, f"{wall} {usage.ru_utime} {usage.ru_stime} {peak} {code}".encode())


if __name__ == "__main__":
    main()
