"""What a service says on its ops port."""

import re
import urllib.error
import urllib.request

from tests.support.patience import patient

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.M)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def get(address, path, timeout_s=patient(20)):
    """(status, text) of a GET; a status of 4xx or 5xx is an answer too."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=timeout_s) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def samples(address):
    """(name, labels, value) of everything in `/metrics`."""
    status, text = get(address, "/metrics")
    assert status == 200, text
    return [
        (name, dict(_LABEL.findall(labels)), float(value))
        for name, labels, value in _SAMPLE.findall(text)
    ]


def values(address, metric, labels):
    """Of all series of a metric that have `labels`."""
    found = samples(address)
    return [v for name, has, v in found if name == metric and labels.items() <= has.items()]


def total(addresses, metric, **labels):
    """The sum of a metric over ops ports and all series that have `labels`; fails without any."""
    found = [value for address in addresses for value in values(address, metric, labels)]
    assert found, f"no {metric} {labels} at {addresses}"
    return sum(found)
