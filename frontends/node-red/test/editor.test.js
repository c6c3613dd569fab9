'use strict';
// What the editor is given: each type has a form for all that it keeps, and a help text.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { test } = require('node:test');
const vm = require('node:vm');
const manifest = require('../package.json');

const part = (html, attribute, type) =>
    new RegExp(`<script type="text/html" data-${attribute}-name="${type}">\\n([^]*?)\\n</script>`).exec(html)?.[1];

for (const file of Object.values(manifest['node-red'].nodes)) {
    test(`${file.replace('.js', '.html')} is complete`, () => {
        const html = fs.readFileSync(path.join(__dirname, '..', file.replace('.js', '.html')), 'utf8');
        const registered = [];
        const RED = {
            nodes: { registerType: (...type) => registered.push(type) },
            validators: { number: () => (value) => !Number.isNaN(Number(value)) },
        };
        vm.runInNewContext(/<script type="text\/javascript">([^]*?)<\/script>/.exec(html)[1], { RED });
        const constructed = [];
        require(`../${file}`)({ nodes: { registerType: (type) => constructed.push(type) } });
        assert.deepEqual(registered.map(([type]) => type), constructed);
        const [[type, definition]] = registered;
        const form = part(html, 'template', type);
        const kind = definition.category === 'config' ? 'node-config-input' : 'node-input';
        for (const key of [...Object.keys(definition.defaults), ...Object.keys(definition.credentials ?? {})]) {
            assert.ok(form.includes(`id="${kind}-${key}"`), `${key} has no input`);
        }
        assert.equal(form.match(/<div/g).length, form.match(/<\/div/g).length);
        assert.ok(part(html, 'help', type).length > 100, 'it has no help');
        assert.ok(definition.label.call({ name: 'mine' }) === 'mine' && definition.label.call({}), 'it has a label');
        for (const { value, validate } of Object.values(definition.defaults)) {
            assert.ok(!validate || validate(value), 'a new node is valid');
        }
    });
}
