# To be sourced. `private_apt DIRECTORY` has apt-get work there, for amd64 and i386: nothing is installed, and the
# machine's package lists and architectures stay as they are.
private_apt() {
    local apt=$1
    mkdir -p "$apt"/lists/partial "$apt"/archives/partial
    touch "$apt/status"
    cat > "$apt/conf" <<END
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt";
APT::Architecture "amd64";
APT::Architectures { "amd64"; "i386"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
END
    export APT_CONFIG=$apt/conf
    # What one list lacks, another may have.
    timeout 120 apt-get -qq update 2>/dev/null || true
}
