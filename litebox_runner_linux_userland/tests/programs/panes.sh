# tmux as a person would use it, by send-keys; what its panes show is printed.
export TERM=screen LC_ALL=C.UTF-8 SHELL=/bin/sh
T="tmux -S ./sock -f /dev/null"
shows() {
    for i in $(seq 200); do
        $T capture-pane -p -t "$1" | grep -q "$2" && return
        sleep 0.1
    done
    echo "pane $1 never shows $2"
    $T capture-pane -p -t "$1"
}
runs() {
    for i in $(seq 200); do
        [ "$($T display-message -p -t "${2:-0.0}" '#{pane_current_command}')" = "$1" ] && return
        sleep 0.1
    done
    echo "$1 does not run"
}
$T new-session -d -x 60 -y 12 'PS1="> " exec sh'
shows 0.0 '^>'
$T send-keys 'echo one two | tr a-z A-Z' Enter
shows 0.0 '^ONE TWO'
$T send-keys 'sleep 77' Enter
runs sleep
$T send-keys C-c
runs sh
$T send-keys 'echo status $?' Enter
shows 0.0 '^status 130'
$T send-keys 'sleep 66' Enter
runs sleep
$T send-keys C-z
shows 0.0 'Stopped'
runs sh
$T send-keys 'kill %1; echo killed' Enter
shows 0.0 '^killed'
$T split-window -v -l 4 'PS1="% " exec sh'
shows 0.1 '^%'
$T send-keys -t 0.1 'stty size' Enter
shows 0.1 '^4 60'
runs sh 0.1
$T list-panes -F '#{pane_index} #{pane_width}x#{pane_height} #{pane_current_command} #{pane_dead}'
$T resize-pane -t 0.0 -y 4
$T list-panes -F '#{pane_height}'
$T send-keys -t 0.1 'printf "\033[2J\033[2;5H\033[1mbold\033[0m\n"' Enter
shows 0.1 '^    bold'
echo '--- below'
$T capture-pane -p -t 0.1
$T send-keys -t 0.0 'clear; printf "a\tb\rX\n"; seq 3' Enter
shows 0.0 '^3'
echo '--- above'
$T capture-pane -p -t 0.0
$T send-keys -t 0.1 'exit' Enter
for i in $(seq 100); do [ "$($T list-panes | wc -l)" = 1 ] && break; sleep 0.1; done
$T list-panes -F '#{pane_width}x#{pane_height}'
$T new-window -n second 'echo in the second; exec cat'
shows :second 'in the second'
$T send-keys -t :second 'typed' Enter C-d
for i in $(seq 100); do [ "$($T list-windows | wc -l)" = 1 ] && break; sleep 0.1; done
$T list-windows -F '#{window_index}'
$T kill-server
sleep 0.2
$T list-sessions 2>&1 | grep -c 'no server\|error connecting'
