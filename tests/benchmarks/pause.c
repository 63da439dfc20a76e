/* Does nothing at all until it is ended: stands for an engine's runner or any other program on a card. */
#include <unistd.h>
int main(void) { for (;;) pause(); }
