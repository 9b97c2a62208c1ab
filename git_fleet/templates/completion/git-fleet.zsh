#compdef git-fleet
#description many workers on one repository, one gated commit per task
# Completion of `git fleet` and `git-fleet` in zsh: a file `_git-fleet` in a folder of $fpath, before compinit.
# git fleet completion zsh >~/.zfunc/_git-fleet

local -a described
local kind value about

while IFS=$'\t' read -r kind value about; do
    case $kind in
        file) _files ;;
        plain) described+=("${value//:/\\:}${about:+:$about}") ;;
    esac
done < <(_GIT_FLEET_COMPLETE=1 git-fleet "${(@)words[2,CURRENT]}" 2>/dev/null)
(( ${#described} )) && _describe -V 'git fleet' described
