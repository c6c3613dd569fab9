'use strict';
// A line a test, as the project's gates read them, and all of what went wrong.

module.exports = async function* lines(events) {
    for await (const { type, data } of events) {
        if (type === 'test:pass' && data.details.type !== 'suite') {
            yield data.skip === undefined ? `ok ${data.name}\n` : `SKIPPED ${data.name}: ${data.skip}\n`;
        } else if (type === 'test:fail') {
            const { error } = data.details;
            yield `FAILED ${data.name}: ${error.message.split('\n')[0]}\n${error.cause?.stack ?? error.stack}\n`;
        } else if (type === 'test:stderr' || type === 'test:stdout') {
            yield data.message;
        }
    }
};
