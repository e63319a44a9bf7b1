/*
 * engines_names.h - folders whose server is known, for tests of engines.
 */
#ifndef ENGINES_NAMES_H
#define ENGINES_NAMES_H

#include "libmemo/wire/message.h"

/* `each` folders of every server. */
static inline void engines_names(uint32_t servers, uint32_t each, memo_folder_t names[servers][each])
{
    uint32_t have[64] = {0}, full = 0;
    for (uint32_t i = 0; full < servers; i++) {
        memo_folder_t f = memo_folder_bytes(&i, sizeof i);
        uint32_t s = wire_server_of(&f, servers);
        if (have[s] < each) {
            names[s][have[s]++] = f;
            full += have[s] == each;
        }
    }
}

#endif
