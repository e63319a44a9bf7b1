/* hello - with a word, leaves it in a folder; without one, waits for it there and prints it. */
#include <memo.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char *argv[])
{
    memo_folder_t greetings = memo_folder("greetings");
    memo_space_t *space;
    memo_t *m = NULL;
    int result = memo_open(&space, NULL); /* $MEMO_SPACE, or the default space */
    if (result == MEMO_SERVED)            /* over MPI this process was a server, and everybody is done */
        return 0;
    if (result == MEMO_OK && argc > 1)
        result = memo_write(space, &greetings, argv[1], strlen(argv[1]));
    else if (result == MEMO_OK && (result = memo_get(space, &greetings, &m)) == MEMO_OK)
        printf("%.*s\n", (int)memo_size(m), (char *)memo_data(m));
    if (result != MEMO_OK)
        fprintf(stderr, "hello: %s\n", memo_errmsg());
    memo_free(m);
    return memo_close(space) != MEMO_OK || result != MEMO_OK;
}
