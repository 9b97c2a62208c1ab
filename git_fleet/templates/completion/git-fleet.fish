# Completion of `git fleet` and `git-fleet` in fish, read when fish starts.
# git fleet completion fish >~/.config/fish/conf.d/git-fleet.fish

function __git_fleet_is_asked
    set -l words (commandline -cpo)
    test "$words[2]" = fleet
end

function __git_fleet_complete
    set -l words (commandline -cpo)
    set -l last (commandline -ct)
    test "$words[1]" = git
    and set words $words[2..]
    env _GIT_FLEET_COMPLETE=1 git-fleet $words[2..] $last 2>/dev/null | while read -l -d \t kind value about
        switch $kind
            case file
                __fish_complete_path "$last"
            case plain
                printf '%s\t%s\n' $value $about
        end
    end
end

complete --no-files --keep-order --command git-fleet --arguments '(__git_fleet_complete)'
complete --no-files --keep-order --command git --condition __git_fleet_is_asked --arguments '(__git_fleet_complete)'
