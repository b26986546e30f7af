"""Missions: a situation, a goal, and packets that judge the rules which a player types.

::

    from nb_lib.missions import MISSIONS
    web = MISSIONS["web"]
    web                                   # the situation, the goal, the rules that are there
    web.judge("iptables -A INPUT -p tcp --dport 80 -j ACCEPT")   # ✓ and ✗, and which packet failed
    board = terminal(web.host())          # in Jupyter: type
    web.judge(board)
"""

from nb_lib.missions import limits, machines, neighbours, published, routers, services
from nb_lib.missions.mission import Judged, Judgement, Mission, Network, Want, rules_of
from nb_lib.missions.stage import Sent, Stage, outcome

# From easy to hard.
_PARTS = (machines, routers, limits, neighbours, published, services)
_ALL = sorted((one for part in _PARTS for one in part.MISSIONS), key=lambda mission: mission.level)
MISSIONS = {mission.name: mission for mission in _ALL}

__all__ = [
    "MISSIONS",
    "Judged",
    "Judgement",
    "Mission",
    "Network",
    "Sent",
    "Stage",
    "Want",
    "outcome",
    "rules_of",
]
