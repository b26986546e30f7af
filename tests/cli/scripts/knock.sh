#!/bin/bash
# The shell opens to those who knock at three doors in order, and are quick about it.

DOORS=(7000 8000 9000)
WAIT=10
OPEN=30
PROTECTED=22

for program in iptables ip6tables; do
    "$program" -F
    "$program" -X

    "$program" -N KNOCKING
    "$program" -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
    "$program" -A INPUT -i lo -j ACCEPT
    "$program" -A INPUT -p tcp --dport "$PROTECTED" -m conntrack --ctstate NEW -j KNOCKING
    "$program" -A INPUT -p tcp -m tcp --syn -m multiport --dports "$(IFS=,; echo "${DOORS[*]}")" -j KNOCKING

    # One chain for each step: who stands here has knocked so far.
    last=$(( ${#DOORS[@]} ))
    for step in $(seq 0 "$last"); do
        "$program" -N "STEP$step"
    done
    for step in $(seq 1 "$last"); do
        door=${DOORS[step - 1]}
        if (( step > 1 )); then
            "$program" -A "STEP$((step - 1))" -m recent --name "step$((step - 1))" --remove
        fi
        "$program" -A "STEP$((step - 1))" -p tcp --dport "$door" -m recent --name "step$step" --set -j DROP
        if (( step > 1 )); then
            "$program" -A "STEP$((step - 1))" -j STEP0
        fi
    done
    "$program" -A "STEP$last" -m recent --remove --name "step$last"
    "$program" -A "STEP$last" -p tcp --dport "$PROTECTED" -m limit --limit 3/min --limit-burst 3 \
        -j LOG --log-prefix "knock: open " --log-tcp-options
    "$program" -A "STEP$last" -p tcp --dport "$PROTECTED" -j ACCEPT
    "$program" -A "STEP$last" -j STEP0

    for step in $(seq "$last" -1 1); do
        seconds=$(( step == last ? OPEN : WAIT ))
        "$program" -A KNOCKING -m recent --rcheck --seconds "$seconds" --reap --name "step$step" -j "STEP$step"
    done
    "$program" -A KNOCKING -j STEP0
    "$program" -A STEP0 -j DROP

    # Those who try every door are left alone for an hour.
    "$program" -I INPUT 2 -m recent --name greedy --rsource --update --seconds 3600 --hitcount 6 -j DROP
    "$program" -A INPUT -p tcp --syn -m recent --name greedy --set
    "$program" -P INPUT DROP

    echo "== $program"
    "$program" -S KNOCKING
    "$program" -L STEP1 -n -v
    "$program" -nL --line-numbers | grep -c STEP
done

# Mistakes that this script has seen.
iptables -A KNOCKING -m recent --seconds 5 --name step1 -j DROP || echo "status $?"
iptables -A KNOCKING -m recent --set --seconds 5 -j DROP || echo "status $?"
iptables -A KNOCKING -m recent --rcheck --set -j DROP || echo "status $?"
iptables -A KNOCKING -m recent --update --seconds 60 --hitcount 100000 || echo "status $?"
iptables -A KNOCKING -m recent --name step1 --rcheck --seconds soon || echo "status $?"
iptables -X STEP1 || echo "status $?"
iptables -N STEP1 || echo "status $?"
iptables -A STEP3 -j KNOCKING || echo "status $?"
iptables -N a-name-that-is-too-long-for-a-chain || echo "status $?"
ip6tables -D INPUT 99 || echo "status $?"
ip6tables -L STEP9 -n || echo "status $?"
iptables -m recent -h | sed -n '/^recent match options/,$p'
