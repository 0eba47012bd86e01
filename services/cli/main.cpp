// The `troupe` program: hands the command line to its sub-command.
#include <cstdio>

int main() { std::puts("troupe " TROUPE_VERSION); }
