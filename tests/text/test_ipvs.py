"""ipvsadm's texts: read and written as they were recorded, and refused with a reason."""

from __future__ import annotations

import pytest

from nb_lib.errors import RulesetError
from nb_lib.text.ipvs import list_ipvs, parse_ipvs, save_ipvs
from tests.recordings import archive

VERSIONS = ("1.21.1", "1.30.5")


def text(version: str, name: str) -> str:
    return archive("ipvs.tar.xz")[f"kp{version}-default/{name}.txt"].decode()


@pytest.mark.parametrize("version", VERSIONS)
def test_recorded_texts_come_back(version):
    saved = text(version, "ipvsadm-Sn")
    assert save_ipvs(parse_ipvs(saved)) == saved
    listed = text(version, "ipvsadm-Ln")
    assert list_ipvs(parse_ipvs(saved)) == listed
    assert parse_ipvs(listed) == parse_ipvs(saved)


@pytest.mark.parametrize("line", [
    "-A -t 10.0.0.1:80 -s sh -p 360 -M 255.255.255.0 -b sh-port,sh-fallback",
    "-A -u [fd00::1]:53 -s wlc -p 60 -M 64",
    "-A -f 7 -s rr -o",
    "-A -f 7 -6 -s rr",
    "-A --sctp-service 10.0.0.1:80 -s rr",
])  # fmt: skip
def test_options_come_back(line):
    services = parse_ipvs(line)
    assert save_ipvs(services) == line + "\n"
    assert parse_ipvs(list_ipvs(services)) == services


def test_persistence_has_a_default():
    assert parse_ipvs("-A -t 10.0.0.1:80 -p -s rr")[0].persistence == 360


@pytest.mark.parametrize(("given", "reason"), [
    ("-A -t 10.0.0.1:80 -s rr -q", "'-q' is no option"),
    ("-A -s rr", "a virtual server is wanted"),
    ("-A -t 10.0.0.1:99999 -s rr", "is no ADDRESS:PORT"),
    ("-A -t 10.0.0:80 -s rr", "10.0.0"),
    ("-D -t 10.0.0.1:80", "is no command of"),
    ("-a -t 10.0.0.1:80 -r 10.0.0.2:80 -m", "there is no virtual server"),
    ("-A -t 10.0.0.1:80\n-A -t 10.0.0.1:80", "is there already"),
    ("-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -m", "a real server is wanted"),
    ("-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r 10.0.0.2 -w 70000", "no weight from 0 to 65535"),
    ("-A -f 99999999999 -s rr", "no mark"),
    ("-A -t 10.0.0.1:80 -t 10.0.0.1:81", "-t is given twice"),
    ("-A -t", "lacks its value"),
    ("-A -t 10.0.0.1:80 -p 9 -M 64", "no mask of 1 to 32 bits"),
    ("-A -t 10.0.0.1:80 -p 9 -M 0.0.0.0", "no mask of 1 to 32 bits"),
    ("-A -t 10.0.0.1:80\n-a -t 10.0.0.1:80 -r [fd00::1]:80 -m", "only a tunnel leads there"),
    ("IP Virtual Server version 1.2.1 (size=4096)\nTCP 10.0.0.1:80 rr\nBUG", "no line of `ipvsadm -Ln`"),
    ("IP Virtual Server version 1.2.1 (size=4096)\n-> 10.0.0.1:80 Masq 1 0 0", "wanted: -t"),
])  # fmt: skip
def test_what_is_refused(given, reason):
    with pytest.raises(RulesetError) as caught:
        parse_ipvs(given)
    assert reason in str(caught.value)
    assert caught.value.lineno == given.count("\n") + 1
